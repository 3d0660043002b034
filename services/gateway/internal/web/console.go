package web

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/a-h/templ"
	"google.golang.org/grpc/codes"

	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web/templates"
)

// signedIn lets only users in: others are asked to sign in, whatever they asked
// for. The request's context carries the user for the calls made under it.
func (s *Site) signedIn(page func(http.ResponseWriter, *http.Request, actor.Actor) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		token := s.sessions.token(r)
		if token == "" {
			askToSignIn(w, r)
			return
		}
		ctx, who, err := s.admit(r, token)
		if errs.Code(err) == codes.Unauthenticated {
			note(r.Context(), err)
			signOut(w, r)
			askToSignIn(w, r)
			return
		}
		if err == nil {
			err = page(w, r.WithContext(ctx), who)
		}
		if err != nil {
			s.errorPage(w, r, err)
		}
	})
}

// askToSignIn brings a reader back to where they were going, and a form to the list.
func askToSignIn(w http.ResponseWriter, r *http.Request) {
	to := "/login"
	if r.Method == http.MethodGet && r.URL.Path != "/operations" {
		to += "?next=" + url.QueryEscape(r.URL.RequestURI())
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (s *Site) shell(title string) templates.Shell {
	return templates.Shell{Title: title, CSS: s.assets.names["app.css"], JS: s.assets.names["app.js"]}
}

// shellFor is the shell of a page about workspace, 0 if about none.
func (s *Site) shellFor(r *http.Request, who actor.Actor, title string, workspace int64) (templates.Shell, error) {
	shell := s.shell(title)
	shell.User = who.Name
	var err error
	if shell.Rooms, err = s.rooms(r.Context()); err != nil {
		return shell, err
	}
	if workspace == 0 {
		return shell, nil
	}
	shell.Room = templates.Room{ID: id(workspace), Name: "Workspace " + id(workspace)}
	if i := slices.IndexFunc(shell.Rooms, func(room templates.Room) bool { return room.ID == shell.Room.ID }); i >= 0 {
		shell.Room = shell.Rooms[i]
	}
	return shell, nil
}

// render answers a page whole or not at all.
func (s *Site) render(w http.ResponseWriter, r *http.Request, status int, c templ.Component) {
	var page bytes.Buffer
	if err := c.Render(r.Context(), &page); err != nil {
		note(r.Context(), err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = page.WriteTo(w)
}

// message answers a page that only says something. It names nobody and nothing:
// the same bytes for everyone.
func (s *Site) message(w http.ResponseWriter, r *http.Request, status int, heading, text string) {
	s.render(w, r, status, templates.MessagePage(templates.Message{
		Shell: s.shell(heading), Heading: heading, Text: text, Home: true,
	}))
}

// errorPage says what went wrong in the words of the problem a program gets.
func (s *Site) errorPage(w http.ResponseWriter, r *http.Request, err error) {
	note(r.Context(), err)
	p := problemOf(err)
	if p.Status == http.StatusNotFound {
		s.message(w, r, p.Status, "Not found", sentence(p.Detail))
		return
	}
	if p.Retry > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(p.Retry, 10))
	}
	s.render(w, r, p.Status, templates.MessagePage(templates.Message{
		Shell: s.shell(headingOf(p.Status)), Heading: headingOf(p.Status), Text: sentence(p.Detail), Reference: requestID(r.Context()), Home: true,
	}))
}

func headingOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "This can't work as asked"
	case http.StatusForbidden:
		return "Not allowed"
	case http.StatusConflict:
		return "It has moved on"
	case http.StatusTooManyRequests:
		return "Too many requests"
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return "Not available just now"
	default:
		return "Something went wrong"
	}
}

// sentence writes an error's words the way a page does: "No such run."
func sentence(words string) string {
	if words == "" {
		return ""
	}
	if c := words[0]; c >= 'a' && c <= 'z' {
		words = string(c-'a'+'A') + words[1:]
	}
	return words + "."
}

func id(n int64) string { return strconv.FormatInt(n, 10) }

package console

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"

	"github.com/a-h/templ"

	"github.com/tenantpilot/tenantpilot/services/gateway/internal/console/templates"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/web"
	"github.com/tenantpilot/tenantpilot/services/gateway/internal/words"
)

// Pages writes pages. It shows errors on pages that ask no service, so it works
// before and without the rest of the console.
type Pages struct{ assets *assets }

// NewPages returns the pages with their static files.
func NewPages() (*Pages, error) {
	assets, err := newAssets()
	return &Pages{assets: assets}, err
}

func (p *Pages) shell(title string) templates.Shell {
	return templates.Shell{Title: title, CSS: p.assets.names["app.css"], JS: p.assets.names["app.js"]}
}

// render writes the whole page, or an error if it cannot be made.
func (p *Pages) render(w http.ResponseWriter, r *http.Request, status int, c templ.Component) {
	var page bytes.Buffer
	if err := c.Render(r.Context(), &page); err != nil {
		web.Note(r.Context(), err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = page.WriteTo(w)
}

// Message shows a page with a heading and a sentence. Everyone is sent the same
// bytes: it has neither the user's name nor the request's id.
func (p *Pages) Message(w http.ResponseWriter, r *http.Request, status int, heading, text string) {
	p.render(w, r, status, templates.MessagePage(templates.Message{
		Shell: p.shell(heading), Heading: heading, Text: text, Home: true,
	}))
}

// Error shows what went wrong, in the words of the problem that a program is sent.
func (p *Pages) Error(w http.ResponseWriter, r *http.Request, err error) {
	web.Note(r.Context(), err)
	problem := web.ProblemOf(err)
	if problem.Status == http.StatusNotFound {
		p.Message(w, r, problem.Status, "Not found", sentence(problem.Detail))
		return
	}
	if problem.Retry > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(problem.Retry, 10))
	}
	heading := headingOf(problem.Status)
	p.render(w, r, problem.Status, templates.MessagePage(templates.Message{
		Shell: p.shell(heading), Heading: heading, Text: sentence(problem.Detail), Reference: web.RequestID(r.Context()), Home: true,
	}))
}

func headingOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "This can't work as asked"
	case http.StatusForbidden:
		return "Not allowed"
	case http.StatusConflict:
		return "It has changed in the meantime"
	case http.StatusTooManyRequests:
		return "Too many requests"
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return "Not available just now"
	default:
		return "Something went wrong"
	}
}

// sentence writes an error's words as a page does: "no such run" becomes "No such run."
func sentence(words string) string {
	if words == "" {
		return ""
	}
	if c := words[0]; c >= 'a' && c <= 'z' {
		words = string(c-'a'+'A') + words[1:]
	}
	return words + "."
}

// shellFor returns the shell of a page about workspace, or about none if it is 0.
func (c *Console) shellFor(r *http.Request, who web.Caller, title string, workspace int64) (templates.Shell, error) {
	shell := c.pages.shell(title)
	shell.User = who.Name
	var err error
	if shell.Workspaces, err = c.workspacesOf(r.Context()); err != nil {
		return shell, err
	}
	if workspace == 0 {
		return shell, nil
	}
	shell.Workspace = templates.Workspace{ID: words.ID(workspace), Name: "Workspace " + words.ID(workspace)}
	named := func(w templates.Workspace) bool { return w.ID == shell.Workspace.ID }
	if i := slices.IndexFunc(shell.Workspaces, named); i >= 0 {
		shell.Workspace = shell.Workspaces[i]
	}
	return shell, nil
}

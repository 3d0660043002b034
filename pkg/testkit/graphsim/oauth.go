package graphsim

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

// claims are what a token says. Only this process signs tokens, so every token
// ends with it.
type claims struct {
	Audience string `json:"aud"`
	App      string `json:"appid"`
	Expires  int64  `json:"exp"`
	Issued   int64  `json:"iat"`
	Tenant   string `json:"tid"`
}

const tokenHeader = `{"typ":"JWT","alg":"HS256"}`

func (s *Server) mint(c claims) string {
	body, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and integers always encode
	}
	enc := base64.RawURLEncoding
	head := enc.EncodeToString([]byte(tokenHeader)) + "." + enc.EncodeToString(body)
	return head + "." + enc.EncodeToString(s.sign(head))
}

func (s *Server) sign(text string) []byte {
	m := hmac.New(sha256.New, s.key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// authenticate reads the bearer token of a Graph call; the reason is for the
// error's message.
func (s *Server) authenticate(r *http.Request, at time.Time) (c claims, reason string) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		return c, "Access token is empty."
	}
	cut := strings.LastIndexByte(token, '.')
	if cut < 0 {
		return c, "CompactToken parsing failed with error code: 80049217"
	}
	sig, err := base64.RawURLEncoding.DecodeString(token[cut+1:])
	if err != nil || !hmac.Equal(sig, s.sign(token[:cut])) {
		return c, "Signature is invalid."
	}
	_, payload, _ := strings.Cut(token[:cut], ".")
	body, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || json.Unmarshal(body, &c) != nil {
		return c, "CompactToken parsing failed with error code: 80049217"
	}
	if at.Unix() >= c.Expires {
		return c, "Lifetime validation failed, the token is expired."
	}
	return c, ""
}

// oauth handles the paths of the authority. It returns nil for other paths.
func (s *Server) oauth(c *call, r *http.Request) *response {
	tenant, rest, ok := strings.Cut(strings.TrimPrefix(c.path, "/"), "/")
	switch {
	case !ok:
		return nil
	case tenant == "common" && rest == "discovery/instance":
		return discovery(r)
	case rest == "v2.0/.well-known/openid-configuration":
		return s.openID(c, r, tenant)
	case rest == "oauth2/v2.0/token":
		return s.token(c, r, tenant)
	}
	return nil
}

func discovery(r *http.Request) *response {
	host := []string{r.Host}
	return respond(http.StatusOK, rawjson.Object(
		"tenant_discovery_endpoint", "https://"+r.Host+"/common/v2.0/.well-known/openid-configuration",
		"api-version", "1.1",
		"metadata", []json.RawMessage{rawjson.Object("preferred_network", r.Host, "preferred_cache", r.Host, "aliases", host)}))
}

func (s *Server) openID(c *call, r *http.Request, tenant string) *response {
	if s.tenants[tenant] == nil {
		return c.noTenant(tenant)
	}
	base := "https://" + r.Host + "/" + tenant
	return respond(http.StatusOK, rawjson.Object(
		"token_endpoint", base+"/oauth2/v2.0/token",
		"token_endpoint_auth_methods_supported", []string{"client_secret_post", "client_secret_basic"},
		"issuer", base+"/v2.0",
		"authorization_endpoint", base+"/oauth2/v2.0/authorize",
		"jwks_uri", base+"/discovery/v2.0/keys"))
}

// token handles the client credentials grant.
func (s *Server) token(c *call, r *http.Request, tenant string) *response {
	t := s.tenants[tenant]
	if t == nil {
		return c.noTenant(tenant)
	}
	r.Body = http.MaxBytesReader(nil, r.Body, 64<<10)
	if r.Method != http.MethodPost || r.ParseForm() != nil {
		return c.refuseToken(http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: 'grant_type'.")
	}
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	switch scope := r.PostForm.Get("scope"); {
	case r.PostForm.Get("grant_type") != "client_credentials":
		return c.refuseToken(http.StatusBadRequest, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
	case id != t.app:
		return c.refuseToken(http.StatusBadRequest, "unauthorized_client", 700016,
			fmt.Sprintf("Application with identifier '%s' was not found in the directory '%s'.", id, tenant))
	case subtle.ConstantTimeCompare([]byte(secret), []byte(t.secret)) == 0:
		return c.refuseToken(http.StatusUnauthorized, "invalid_client", 7000215,
			"Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '"+id+"'.")
	case !slices.ContainsFunc(strings.Fields(scope), func(s string) bool { return strings.HasSuffix(s, "/.default") }):
		return c.refuseToken(http.StatusBadRequest, "invalid_scope", 1002012,
			"The provided value for scope "+scope+" is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).")
	}
	life := int64(s.tokenLife / time.Second)
	token := s.mint(claims{Audience: "https://graph.microsoft.com", App: id, Tenant: tenant, Issued: c.at.Unix(), Expires: c.at.Unix() + life})
	return respond(http.StatusOK, rawjson.Object("token_type", "Bearer", "expires_in", int(life), "ext_expires_in", int(life), "access_token", token))
}

func (c *call) noTenant(tenant string) *response {
	return c.refuseToken(http.StatusBadRequest, "invalid_tenant", 90002,
		fmt.Sprintf("Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.", tenant))
}

// refuseToken returns an error in the shape of the authority, which differs from
// Graph's.
func (c *call) refuseToken(status int, kind string, code int, message string) *response {
	stamp := c.at.UTC().Format("2006-01-02 15:04:05Z")
	return respond(status, rawjson.Object(
		"error", kind,
		"error_description", fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s", code, message, c.requestID, c.clientID, stamp),
		"error_codes", []int{code}, "timestamp", stamp, "trace_id", c.requestID, "correlation_id", c.clientID,
		"error_uri", fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", code)))
}

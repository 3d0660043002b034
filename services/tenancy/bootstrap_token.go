package tenancy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tenantpilot/tenantpilot/pkg/page"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/token"
	"github.com/tenantpilot/tenantpilot/services/tenancy/internal/workspace"
)

// tokenName tells the tokens that this command made from others of the same owner.
const tokenName = "bootstrap"

// token keeps the token in the file while that token works. Otherwise it revokes
// the tokens that this command made before and writes a new one.
func (f founding) token(ctx context.Context, workspaceID, ownerID int64) error {
	works, err := f.tokenWorks(ctx, workspaceID)
	if err != nil {
		return err
	}
	if works {
		f.log.InfoContext(ctx, "API token is there already", "token_file", f.TokenFile)
		return nil
	}
	if err := f.revoke(ctx, workspaceID, ownerID); err != nil {
		return err
	}
	expires, err := workspace.TokenExpiry(nil, time.Now())
	if err != nil {
		return err
	}
	secret := token.New()
	_, err = f.store.CreateToken(ctx, f.by, workspace.APIToken{
		WorkspaceID: workspaceID, UserID: ownerID, DisplayName: tokenName, KeyID: secret.KeyID(), ExpiresAt: expires,
	}, secret.Hash())
	if err != nil {
		return err
	}
	// If this fails, the next run finds no file and makes another token.
	if err := writeSecret(f.TokenFile, secret.Reveal()); err != nil {
		return err
	}
	f.log.InfoContext(ctx, "API token written", "token_file", f.TokenFile, "expire_time", expires)
	return nil
}

func (f founding) tokenWorks(ctx context.Context, workspaceID int64) (bool, error) {
	text, err := os.ReadFile(f.TokenFile)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	secret, err := token.Parse(strings.TrimSpace(string(text)))
	if err != nil {
		return false, fmt.Errorf("%s is there and is %w: move it away first", f.TokenFile, err)
	}
	held, err := f.store.Token(ctx, secret.KeyID())
	if err != nil || held == nil {
		return false, err
	}
	return secret.Matches(held.Hash) && held.WorkspaceID == workspaceID, nil
}

func (f founding) revoke(ctx context.Context, workspaceID, ownerID int64) error {
	p := page.Page[int64]{Limit: 200}
	for {
		tokens, err := f.store.TokensOf(ctx, workspaceID, ownerID, p)
		if err != nil {
			return err
		}
		for _, t := range tokens {
			p.After = t.ID
			if t.DisplayName != tokenName || t.RevokedAt != nil {
				continue
			}
			if _, err := f.store.RevokeToken(ctx, f.by, workspaceID, t.ID); err != nil {
				return err
			}
		}
		if len(tokens) < p.Limit {
			return nil
		}
	}
}

// writeSecret writes a file that only its owner may read, in one step.
func writeSecret(file, text string) error {
	temp, err := os.CreateTemp(filepath.Dir(file), ".token-") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) //nolint:errcheck // gone already, if all went well
	_, err = temp.WriteString(text + "\n")
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), file)
}

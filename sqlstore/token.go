package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/wechatqr/wechatqr"
)

// unknownLife is how long a token without an Expiry is kept.
const unknownLife = 24 * time.Hour

// storedToken is a row's data.
type storedToken struct {
	Token    string `json:"token"`
	NoExpiry bool   `json:"no_expiry,omitempty"` // its end is unknown
}

func tokenID(key string) string { return rowID("token", key) }

func decodeToken(data string) (t storedToken, err error) {
	if data == "" {
		return t, nil
	}
	return t, json.Unmarshal([]byte(data), &t)
}

// Load returns the token, or [wechatqr.ErrTokenNotFound]. Its Expiry is counted on
// this machine's clock from the life that the database says is left.
func (s *Store) Load(ctx context.Context, key string) (wechatqr.Token, error) {
	const op = "load token"
	r, err := s.load(ctx, op, tokenID(key))
	if err != nil {
		return wechatqr.Token{}, err
	}
	stored, err := decodeToken(r.data)
	switch {
	case err != nil:
		return wechatqr.Token{}, failed(op, err)
	case stored.Token == "":
		return wechatqr.Token{}, wechatqr.ErrTokenNotFound
	case stored.NoExpiry:
		return wechatqr.Token{Value: stored.Token}, nil
	}
	return wechatqr.Token{Value: stored.Token, Expiry: r.localEnd()}, nil
}

// Save keeps the token until its Expiry, or for a day if that is unknown. It does
// not replace a token that ends later, unless that one's end is unknown. It fails
// while another owner's lease on key runs; a lease of owner's own is not needed.
func (s *Store) Save(ctx context.Context, key string, tok wechatqr.Token, owner string) error {
	const op = "save token"
	if tok.Value == "" {
		return invalid(op, errors.New("the token is empty"))
	}
	expiry := tok.Expiry
	if expiry.IsZero() {
		expiry = time.Now().Add(unknownLife)
	}
	data, err := json.Marshal(storedToken{tok.Value, tok.Expiry.IsZero()})
	if err != nil {
		return failed(op, err)
	}

	r, err := s.change(ctx, op, tokenID(key), func(r *row) bool {
		end := r.now + time.Until(expiry).Milliseconds()
		old, _ := decodeToken(r.data)
		if r.leasedByAnother(owner) || end <= r.now || r.ends > end && !old.NoExpiry {
			return false
		}
		r.data, r.ends = string(data), end
		return true
	})
	if err == nil && !r.written && r.leasedByAnother(owner) {
		err = failed(op, errors.New("another process holds the lease and renews the token"))
	}
	return err
}

// Discard removes the token if its value is still rejected.
func (s *Store) Discard(ctx context.Context, key, rejected string) error {
	_, err := s.change(ctx, "discard token", tokenID(key), func(r *row) bool {
		old, _ := decodeToken(r.data)
		if r.data == "" || old.Token != rejected {
			return false
		}
		r.data, r.ends = "", 0
		return true
	})
	return err
}

// Lease takes the right to renew the token under key for the time ttl, or
// prolongs it for the owner that has it; false while another has it.
func (s *Store) Lease(ctx context.Context, key, owner string, ttl time.Duration) (bool, error) {
	r, err := s.change(ctx, "lease", tokenID(key), func(r *row) bool {
		return r.lease(owner, ttl)
	})
	return r.written, err
}

// Unlease ends the lease on key if it is owner's.
func (s *Store) Unlease(ctx context.Context, key, owner string) error {
	return s.release(ctx, "unlease", tokenID(key), owner)
}

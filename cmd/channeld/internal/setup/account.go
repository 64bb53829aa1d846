// Package setup is the page on which an administrator says which account the desk is for,
// and the file that keeps it.
package setup

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

// Account is what the page asks for. fmt and slog leave the secrets out.
type Account struct {
	Credentials wechatqr.Credentials

	// Events has the former keys, if there are any, as Previous.
	Events      events.Config
	FormerUntil time.Time // until when they are accepted

	Location *time.Location
	Keep     time.Duration // channels.Config.KeepAfterUnfollow
}

// formerLife is how long the former Token and EncodingAESKey are accepted beside new ones:
// long enough to change the console.
const formerLife = time.Hour

// fileAccount is an Account in its file.
type fileAccount struct {
	AppID     string `json:"app_id"`
	AppSecret string `json:"app_secret"`
	Plaintext bool   `json:"plaintext,omitempty"`
	Keys      keys   `json:"keys"`
	Zone      string `json:"zone"`
	Keep      string `json:"keep_after_unfollow"` // as 720h0m0s

	Former      []keys    `json:"former_keys,omitempty"`
	FormerUntil time.Time `json:"former_until,omitzero"`
}

type keys struct {
	Token          string `json:"token"`
	EncodingAESKey string `json:"encoding_aes_key,omitempty"`
}

// ReadFile reads the account. Its error matches fs.ErrNotExist if there is no file, and has
// nothing of what is in the file.
func ReadFile(path string) (a Account, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return a, fmt.Errorf("channeld: the account: %w", err)
	}
	var f fileAccount
	if err := json.Unmarshal(data, &f); err != nil {
		return a, damaged(path, errors.New("it is not JSON"))
	}
	a.Credentials = wechatqr.Credentials{AppID: f.AppID, AppSecret: f.AppSecret}
	a.Events = events.Config{
		AppID: f.AppID, Plaintext: f.Plaintext, Token: f.Keys.Token,
		EncodingAESKey: f.Keys.EncodingAESKey,
	}
	if time.Now().Before(f.FormerUntil) {
		a.FormerUntil = f.FormerUntil
		for _, k := range f.Former {
			a.Events.Previous = append(a.Events.Previous, events.Keys(k))
		}
	}
	var zone, keep error
	a.Location, zone = time.LoadLocation(f.Zone)
	a.Keep, keep = time.ParseDuration(f.Keep)
	_, err = events.NewVerifier(a.Events)
	if err = errors.Join(err, zone, keep); err != nil {
		return a, damaged(path, err)
	}
	return a, nil
}

func damaged(path string, err error) error {
	return fmt.Errorf("channeld: the account in %s: %w: restore the file, or delete it and set "+
		"the account up again", path, err)
}

// WriteFile replaces the file, which only its owner can read.
func (a *Account) WriteFile(path string) error {
	f := fileAccount{
		AppID: a.Credentials.AppID, AppSecret: a.Credentials.AppSecret,
		Plaintext: a.Events.Plaintext, Keys: keys{a.Events.Token, a.Events.EncodingAESKey},
		Zone: a.Location.String(), Keep: a.Keep.String(), FormerUntil: a.FormerUntil,
	}
	for _, k := range a.Events.Previous {
		f.Former = append(f.Former, keys(k))
	}
	data, err := json.MarshalIndent(f, "", "\t")
	if err == nil {
		err = replaceFile(path, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("channeld: the account: %w", err)
	}
	return nil
}

func replaceFile(path string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp") // 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}

// newKeys are random ones that WeChat's console accepts: letters and digits.
func newKeys() events.Keys {
	k := events.Keys{Token: rand.Text()}
	for k.EncodingAESKey == "" || strings.ContainsAny(k.EncodingAESKey, "+/") {
		var key [32]byte
		_, _ = rand.Read(key[:]) // cannot fail
		k.EncodingAESKey = base64.RawStdEncoding.EncodeToString(key[:])
	}
	return k
}

package setup

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

func someAccount() Account {
	k := newKeys()
	return Account{
		Credentials: wechatqr.Credentials{AppID: "wx0123456789abcdef", AppSecret: "the secret"},
		Events: events.Config{
			AppID: "wx0123456789abcdef", Token: k.Token, EncodingAESKey: k.EncodingAESKey,
		},
		Location: time.UTC, Keep: 30 * 24 * time.Hour,
	}
}

func TestTheFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "account")
	_, err := ReadFile(file)
	require.ErrorIs(t, err, fs.ErrNotExist)
	a := someAccount()
	for range 2 { // the second replaces the first
		require.NoError(t, a.WriteFile(file))
		got, err := ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, a, got)
		a.Events.EncodingAESKey, a.Events.Plaintext = "", true
	}
	left, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	assert.Len(t, left, 1, "nothing is left beside it")
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v", a, &a, a), "the secret")
}

// An error of a file tells nothing of what is in it.
func TestADamagedFile(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][2]string{
		"half a file": {"}\n}", ""}, "a key is short": {`key": "`, `key": "-`},
		"no such zone": {"UTC", "Atlantis"}, "no duration": {"720h", "a month"},
	} {
		file, a := filepath.Join(t.TempDir(), "account"), someAccount()
		require.NoError(t, a.WriteFile(file))
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		changed := strings.Replace(string(data), change[0], change[1], 1)
		if name == "half a file" {
			changed = string(data[:len(data)/2])
		}
		require.NotEqual(t, string(data), changed, name)
		require.NoError(t, os.WriteFile(file, []byte(changed), 0o600))
		_, err = ReadFile(file)
		require.ErrorContains(t, err, file, name)
		for _, secret := range []string{"the secret", a.Events.Token, a.Events.EncodingAESKey} {
			assert.NotContains(t, err.Error(), secret, name)
		}
	}
}

// keysOf is a pair of keys.
func keysOf(token, key string) events.Keys {
	return events.Keys{Token: token, EncodingAESKey: strings.Repeat(key, 43)}
}

// What the console still has is accepted after any number of changes, and nothing in the clear
// beside safe mode.
func TestFormerKeys(t *testing.T) {
	t.Parallel()
	a, b, c := keysOf("aaa", "A"), keysOf("bbb", "B"), keysOf("ccc", "C")
	plain := func(token string) events.Keys { return keysOf(token, "") }
	for name, tt := range map[string]struct {
		before []events.Keys // the last are the present ones
		now    events.Keys
		want   []events.Keys
	}{
		"nothing changes": {[]events.Keys{a, b}, b, []events.Keys{a}},
		"both":            {[]events.Keys{a}, b, []events.Keys{a}},
		"both, and again": {[]events.Keys{a, b}, c, []events.Keys{a, b}},
		"back":            {[]events.Keys{a, b}, a, []events.Keys{b}},
		"the Token":       {[]events.Keys{a}, keysOf("bbb", "A"), []events.Keys{a}},
		"to plaintext":    {[]events.Keys{a}, plain("aaa"), nil},
		"to plaintext, and Token": {[]events.Keys{a, b}, plain("ccc"),
			[]events.Keys{plain("aaa"), plain("bbb")}},
		"to safe mode": {[]events.Keys{plain("aaa")}, a, nil},
		"to safe mode, and Token": {[]events.Keys{plain("aaa")}, b,
			[]events.Keys{keysOf("aaa", "B")}},
		"the first": {[]events.Keys{{}}, a, nil},
		"the Token of a plain one": {[]events.Keys{plain("aaa")}, plain("bbb"),
			[]events.Keys{plain("aaa")}},
	} {
		last := len(tt.before) - 1
		x := Account{Credentials: wechatqr.Credentials{AppID: "wx0123456789abcdef"}}
		x.Events.Token = tt.before[last].Token
		x.Events.EncodingAESKey = tt.before[last].EncodingAESKey
		x.Events.Previous = tt.before[:last:last]
		mode := "safe"
		if tt.now.EncodingAESKey == "" {
			mode = "plaintext"
		}
		x.setKeys(&form{Mode: mode, Token: tt.now.Token, AESKey: tt.now.EncodingAESKey})
		assert.Equal(t, tt.want, x.Events.Previous, name)
		assert.Equal(t, tt.now.Token, x.Events.Token, name)
		assert.Equal(t, tt.now.EncodingAESKey, x.Events.EncodingAESKey, name)
		_, err := events.NewVerifier(x.Events)
		require.NoError(t, err, name)
	}
}

// Former keys are accepted for an hour after the last change.
func TestFormerKeysEnd(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "account")
	synctest.Test(t, func(t *testing.T) {
		a := someAccount()
		before := events.Keys{Token: a.Events.Token, EncodingAESKey: a.Events.EncodingAESKey}
		a.setKeys(&form{Mode: "safe"})
		assert.Empty(t, a.Events.Previous, "nothing has changed")
		assert.Zero(t, a.FormerUntil)
		a.setKeys(&form{Mode: "safe", Token: "another"})
		time.Sleep(formerLife / 2)
		a.setKeys(&form{Mode: "safe", Token: "third"})
		require.Len(t, a.Events.Previous, 2)
		assert.Equal(t, before, a.Events.Previous[0])

		require.NoError(t, a.WriteFile(file))
		time.Sleep(formerLife - 2*time.Second)
		a.setKeys(&form{Mode: "safe"}) // changes nothing
		require.NoError(t, a.WriteFile(file))
		got, err := ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, a.Events.Previous, got.Events.Previous)
		time.Sleep(2 * time.Second)
		got, err = ReadFile(file)
		require.NoError(t, err)
		assert.Empty(t, got.Events.Previous)
	})
}

func TestNewKeys(t *testing.T) {
	t.Parallel()
	for range 100 {
		k := newKeys()
		assert.Regexp(t, `^[A-Za-z0-9]{3,32}$`, k.Token)
		assert.Regexp(t, `^[A-Za-z0-9]{43}$`, k.EncodingAESKey)
	}
}

func TestIsLocal(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"https://codes.example.com/wechat":      false,
		"http://203.0.113.9/wechat":             false,
		"http://203.0.113.9:8930/wechat":        true,
		"http://127.0.0.1/wechat":               true,
		"http://localhost/wechat":               true,
		"http://192.168.1.2:80/wechat":          true,
		"https://codes.example.com:443/wechat":  false,
		"https://codes.example.com:8443/wechat": true,
	} {
		assert.Equal(t, want, isLocal(address), address)
	}
}

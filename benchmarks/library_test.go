package benchmarks

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/events"
)

// scan is what a user wants to know of a push.
type scan struct {
	openID, scene string
	newFollower   bool
}

// code is what a user wants to know of a code that was made.
type code struct{ ticket, url string }

// account is where a library takes tokens and makes codes.
type account struct {
	creds     wechatqr.Credentials
	base      string            // of the API, without a slash at the end
	transport http.RoundTripper // nil: what the library has by default
}

// adapter has a library do the work, by its own settings and defaults
// wherever it has any; what it logs is turned off.
type adapter struct {
	name    string
	parse   func(message []byte) (scan, error)
	opener  func(testing.TB, events.Config) func(url.Values, []byte) (scan, error)
	handler func(testing.TB, events.Config, func(scan) string) http.Handler // "" is no reply
	tokens  func(testing.TB, account) func() (string, error)
	creator func(testing.TB, account) func(key string) (code, error)
}

func adapters() []adapter {
	return []adapter{wechatqrAdapter(), silenceperAdapter(), chanxuehongAdapter(),
		powerWeChatAdapter(), fastwegoAdapter()}
}

// sceneOf takes the mark off the key of a subscribe event, for libraries that
// leave it to the user.
func sceneOf(event, user, key string) scan {
	if event == "subscribe" {
		return scan{user, strings.TrimPrefix(key, "qrscene_"), true}
	}
	return scan{user, key, false}
}

var accounts atomic.Uint32

// newCredentials are of an account that no library knows: some keep tokens
// for the whole process, or on disk.
func newCredentials() wechatqr.Credentials {
	return wechatqr.Credentials{AppID: fmt.Sprintf("wx%016x", accounts.Add(1)),
		AppSecret: strings.Repeat("5", 32)}
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run has the libraries that keep tokens on disk do so where it is forgotten.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "wechatqr-benchmarks-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // nothing there is of use
	for _, name := range []string{"HOME", "TMPDIR"} {
		if err := os.Setenv(name, dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

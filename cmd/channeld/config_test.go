package main

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a flag cannot mean is refused before anything is made.
func TestFlagsAreChecked(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"an origin without a scheme":    {[]string{"-origin", "codes.example.com"}, "https://"},
		"an origin that is a host:port": {[]string{"-origin", "localhost:8930"}, "https://"},
		"an origin of another scheme": {[]string{"-origin", "ftp://codes.example.com"},
			"https://"},
		"an origin with a path": {[]string{"-origin", "https://a.example/desk"},
			"https://"},
		"an origin without a host":       {[]string{"-origin", "https://"}, "https://"},
		"an origin with a space":         {[]string{"-origin", "https://a b"}, "https://"},
		"the zone of the machine":        {[]string{"-zone", "Local"}, "Asia/Shanghai"},
		"no zone":                        {[]string{"-zone", ""}, "Asia/Shanghai"},
		"a zone that there is not":       {[]string{"-zone", "Asia/Atlantis"}, "Asia/Atlantis"},
		"remembered for a negative time": {[]string{"-keep", "-5h"}, "-keep"},
		"remembered for ever":            {[]string{"-keep", "99999h"}, "-keep"},
	} {
		_, err := parseConfig(tt.args, noEnv, io.Discard)
		require.ErrorIs(t, err, errFlags, name)
		assert.ErrorContains(t, err, tt.want, name)
	}
	for origin, want := range map[string]string{
		"https://Codes.Example.com/": "https://codes.example.com",
		"HTTP://10.0.0.5:8930":       "http://10.0.0.5:8930",
		"":                           "",
	} {
		c, err := parseConfig([]string{"-origin", origin}, noEnv, io.Discard)
		require.NoError(t, err)
		assert.Equal(t, want, c.origin)
	}
}

package channels

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The package links no driver: the caller chooses one.
func TestDependencies(t *testing.T) {
	t.Parallel()
	list := exec.CommandContext(
		t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".",
	)
	out, err := list.Output()
	require.NoError(t, err)
	const module = "github.com/wechatqr/wechatqr"
	want := []string{
		module, module + "/account", module + "/events", module + "/internal/sqltx",
		module + "/channels",
	}
	for _, path := range strings.Fields(string(out)) {
		if !strings.HasPrefix(path, "golang.org/x/text/") { // GBK and UTF-16
			assert.Contains(t, want, path)
		}
	}
}

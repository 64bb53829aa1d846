package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// numbers of a line: scans, new, returning, lost, net, imported, held.
type numbers [7]int

// The rows of the channels and of what has none add up to the account's, and the
// account's is what WeChat lists.
func TestRowsAddUp(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	require.NoError(t, run(t.Context(), &out, 120))
	var sum numbers
	reports := 0
	for line := range strings.Lines(out.String()) {
		var n numbers
		var persons int
		_, err := fmt.Sscan(line, &n[0], &persons, &n[1], &n[2], &n[3], &n[4], &n[5], &n[6])
		if err != nil {
			continue
		}
		if !strings.HasSuffix(line, "account\n") {
			for i := range n {
				sum[i] += n[i]
			}
			continue
		}
		assert.Equal(t, n, sum, line)
		assert.Equal(t, n[6], n[4]+n[5], "held is net and imported")
		sum, reports = numbers{}, reports+1
	}
	assert.Equal(t, 2, reports)

	var listed, held int
	_, text, _ := strings.Cut(out.String(), "WeChat lists ")
	_, err := fmt.Sscan(text, &listed)
	require.NoError(t, err)
	_, text, _ = strings.Cut(out.String(), "Now ")
	_, err = fmt.Sscan(text, &held)
	require.NoError(t, err)
	assert.Equal(t, listed, held)
	assert.Contains(t, out.String(), "\ufeffstart,channel,")
}

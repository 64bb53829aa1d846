package codes

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wechatqr/wechatqr/channels"
)

// The key is not what a long name is cut by.
func TestCaption(t *testing.T) {
	t.Parallel()
	named, unnamed := channels.Channel{Key: "sh-8", Name: "八店"}, channels.Channel{Key: "sh-8"}
	assert.Equal(t, "八店", caption(&named, "name"))
	assert.Equal(t, "sh-8", caption(&named, "key"))
	assert.Equal(t, "sh-8 · 八店", caption(&named, "both"))
	assert.Equal(t, "sh-8", caption(&unnamed, "name"))
	assert.Equal(t, "sh-8", caption(&unnamed, "both"))
}

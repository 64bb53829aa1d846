package events

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/wechatqr/wechatqr"
)

// What this process forgets is no problem while a shared store remembers it.
func TestForgottenEventsThatAreShared(t *testing.T) {
	t.Parallel()
	all := claims{local: newMemory(0), shared: newMemory(1 << 20), ttl: time.Hour}
	all.report = func(_ context.Context, _ *wechatqr.Event, err error, _ []byte) { t.Error(err) }
	for i := range 3 * 1024 {
		c := claim{claims: &all, ctx: t.Context(), id: fmt.Sprint(i), held: true, start: time.Now()}
		c.endClaim(true)
	}
}

func TestErrorOfJustTheLimitIsWhole(t *testing.T) {
	t.Parallel()
	room := maxErrorBytes - len(errorf(ErrFunction, "").Error())
	for over := range 2 {
		s := errorf(ErrFunction, "%s", strings.Repeat("x", room+over)).Error()
		assert.Equal(t, over == 1, strings.HasSuffix(s, "…"))
	}
}

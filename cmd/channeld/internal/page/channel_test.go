package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/internal/webui"
)

// The page of a channel has no other channels in it: they are looked for while one is typed.
func TestChannelsAreFoundWhileTyping(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.channel("sh-0", "零店", "华东")
		for n := range 2 * maxFound {
			c := channels.Channel{Key: fmt.Sprintf("gz-%02d", n), Name: "<b>店</b>"}
			require.NoError(t, d.Ledger.Put(t.Context(), c))
		}
		hasNot(t, d.get(admin, "/channels/sh-0", webui.Chinese).Body.String(), "gz-")

		for text, want := range map[string]int{
			"": maxFound, "GZ-3": 10, "零": 1, "华东": 1, "none": 0, "%": 0,
		} {
			w := d.get(admin, "/find?"+url.Values{"q": {text}}.Encode(), webui.Chinese)
			require.Equal(t, http.StatusOK, w.Code)
			var found []channels.Channel
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &found))
			assert.NotNil(t, found, "a list, though empty")
			assert.Len(t, found, want, text)
		}
		for _, text := range []string{"\x00", "\xff"} {
			w := d.get(admin, "/find?"+url.Values{"q": {text}}.Encode(), webui.Chinese)
			assert.Equal(t, http.StatusBadRequest, w.Code)
		}
	})
}

package page

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// A guest sees one channel or group, whatever the address asks for.
func TestGuestsSeeTheirScopeOnly(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.fill()
		noCode := []string{",,,no code,", "<td></td><td>no code</td>"}
		hidden := map[string][]string{
			"channel": append(noCode, "广州", "上海二店", "华南"),
			"group":   append(noCode, "广州", "华南"),
		}
		for name, scope := range map[string]web.Scope{
			"channel": {Channel: "sh-1"}, "group": {Group: "华东"},
		} {
			guest := web.Visitor{Role: web.Guest, Scope: scope}
			for _, address := range guestAddresses(d.Routes()) {
				body := d.get(guest, address, "zh-CN").Body.String()
				for _, text := range hidden[name] {
					typed := strings.Contains(address, url.QueryEscape(text))
					if strings.Contains(body, text) && !typed {
						t.Errorf("%s guest at %s sees %q", name, address, text)
					}
				}
			}
			all, err := d.Ledger.Report(t.Context(), channels.Query{
				From: noon.Add(-90 * 24 * time.Hour), To: noon.Add(12 * time.Hour),
				Channel: scope.Channel, Group: scope.Group,
			})
			require.NoError(t, err)
			var exported channels.Report
			w := d.get(guest, "/export/channels.json?period=90d", "en")
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &exported))
			assert.Equal(t, all.Total, exported.Total)
			assert.Equal(t, http.StatusNotFound, d.get(guest, "/channels/gz-1", "en").Code)
			assert.Equal(t, http.StatusNotFound, d.get(guest, "/channels/nobody", "en").Code,
				"the same as for one that there is not")
			assert.Equal(t, http.StatusForbidden, d.get(guest, "/channels/sh-1/change", "en").Code)
			assert.Equal(t, http.StatusForbidden, d.get(guest, "/reconcile", "en").Code)
		}
	})
}

// guestAddresses are those of every route that a guest may ask for, with questions about
// what is not theirs.
func guestAddresses(routes []web.Route) (all []string) {
	questions := []string{
		"", "?period=today", "?group=" + url.QueryEscape("华南"), "?channel=gz-1", "?q=gz",
		"?channel=gz-1&group=" + url.QueryEscape("华东"), "?by=channel-day",
	}
	for _, route := range routes {
		path, get := strings.CutPrefix(route.Pattern, "GET ")
		if !get || route.Needs > web.Guest {
			continue
		}
		for _, key := range []string{"sh-1", "gz-1"} {
			names := strings.NewReplacer("{$}", "", "{file}", "channels.csv", "{key}", key)
			for _, question := range questions {
				all = append(all, names.Replace(path)+question)
			}
		}
	}
	return all
}

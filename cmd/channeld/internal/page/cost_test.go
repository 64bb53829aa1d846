package page

import (
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

func TestCostPerHeldFollower(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		of   spending
		want string
	}{
		"nothing spent":  {spendingOn(0, 10), "–"},
		"nobody held":    {spendingOn(100, 0), "–"},
		"neither":        {spendingOn(0, 0), "–"},
		"exact":          {spendingOn(1000, 4), "2.50"},
		"half is up":     {spendingOn(5, 2), "0.03"},
		"less than half": {spendingOn(1, 3), "0.00"},
		"more than half": {spendingOn(2, 3), "0.01"},
		"large":          {spendingOn(1_000_000_000_000, 1), "10\u202f000\u202f000\u202f000.00"},
	} {
		assert.Equal(t, tt.want, perHeldText(tt.of), name)
	}
}

// What was spent after the period, in other groups and by nobody is not in the sums; those
// of a page, of the rest and of the sum pool channels with a cost.
func TestCostsOfTheList(t *testing.T) {
	testAt(t, func(t *testing.T, d *desk) {
		d.channel("a", "甲", "华东")
		d.channel("b", "乙", "华东")
		d.channel("c", "丙", "华南")
		d.channel("d", "丁", "华南")
		for i, key := range []string{"a", "a", "b", "b", "b", "b", "c", ""} {
			d.follow("o-"+string(rune('0'+i)), key, noon.Add(-23*time.Hour))
		}
		d.note("a", "2026-11-20", "印刷", "3")
		d.note("a", "2026-11-25", "又印", "1")
		d.note("b", "2026-11-20", "印刷", "2")
		d.note("d", "2026-11-20", "没带来人", "6")

		costsAt := func(v web.Visitor, address string) map[string]string {
			w := d.get(v, address, "en")
			require.Equal(t, http.StatusOK, w.Code, address)
			all := map[string]string{}
			row := regexp.MustCompile(`(甲|乙|丙|丁|Other \d|No code|Sum) .*? (\S+%|–) (\S+%|–) (\S+)`)
			_, table, _ := strings.Cut(textOf(w), "Net over time")
			table, _, _ = strings.Cut(table, "Cost per held follower of the sum")
			for _, match := range row.FindAllStringSubmatch(table, -1) {
				all[match[1]] = match[4]
			}
			return all
		}
		assert.Equal(t, map[string]string{
			"甲": "2.00", "乙": "0.50", "丙": "–", "丁": "–", "No code": "–", "Sum": "2.00",
		}, costsAt(viewer, "/channels"))
		assert.Equal(t, map[string]string{
			"甲": "1.50", "乙": "0.50", "丙": "–", "丁": "–", "No code": "–", "Sum": "1.83",
		}, costsAt(viewer, "/channels?from=2026-11-20&to=2026-11-24"))
		assert.Equal(t, map[string]string{
			"甲": "2.00", "Other 3": "2.00", "No code": "–", "Sum": "2.00",
		}, costsAt(viewer, "/channels?q=甲"))
		guest := web.Visitor{Role: web.Guest, Scope: web.Scope{Group: "华东"}}
		assert.Equal(t, map[string]string{"甲": "2.00", "乙": "0.50", "Sum": "1.00"},
			costsAt(guest, "/channels"))

		order := func(address string) (keys []string) {
			body := d.get(viewer, address, "en").Body.String()
			for _, match := range regexp.MustCompile(`<th scope="row"><a href="/channels/(\w)`).
				FindAllStringSubmatch(body, -1) {
				keys = append(keys, match[1])
			}
			return keys
		}
		assert.Equal(t, []string{"a", "b", "c", "d"}, order("/channels?sort=cost"))
		assert.Equal(t, []string{"b", "a", "c", "d"}, order("/channels?sort=up-cost"))
		has(t, textOf(d.get(guest, "/channels/a", "en")), "Cost per held follower 2.00 4.00 / 2")
		hasNot(t, textOf(d.get(viewer, "/channels/c", "en")), "/ 1 Sum")
	})
}

// Costs are compared exactly, also when their products are greater than an int64.
func TestCostsInOrder(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	lines := make([]line, 200)
	for i := range lines {
		lines[i].Cost = spendingOn(random.Int64N(9e15), 1+random.Int64N(1e7))
	}
	slices.SortFunc(lines, Sort{"cost", false}.compare)
	for i := range lines[1:] {
		a, b := lines[i].Cost, lines[i+1].Cost
		assert.GreaterOrEqual(t, float64(a.Spent)/float64(a.Held), float64(b.Spent)/float64(b.Held))
	}
}

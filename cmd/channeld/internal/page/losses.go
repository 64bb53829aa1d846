package page

import (
	"net/http"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// lossAge is the greatest age of a row of the losses by age.
type lossAge struct {
	upTo   time.Duration
	zh, en string
}

var lossAges = []lossAge{
	{time.Hour, "≤ 1 小时", "≤ 1 h"}, {24 * time.Hour, "1–24 小时", "1–24 h"},
	{7 * 24 * time.Hour, "1–7 天", "1–7 d"}, {30 * 24 * time.Hour, "7–30 天", "7–30 d"},
	{90 * 24 * time.Hour, "30–90 天", "30–90 d"}, {0, "> 90 天", "> 90 d"},
}

// losses are those of the period by how long the person had followed. It has no rows if
// there are none.
func (p *Pages) losses(r *http.Request, q channels.Query) (chart, error) {
	c := chart{
		Title: web.Say(r, "取关时已关注多久", "How long those who left had followed"),
		Heads: []string{
			web.Say(r, "已关注", "Followed for"), web.Say(r, "取关", "lost"),
			web.Say(r, "占比", "share"),
		},
		Bottom: "0",
	}
	var upTo []time.Duration
	for _, age := range lossAges[:len(lossAges)-1] {
		upTo = append(upTo, age.upTo)
	}
	q.By = 0
	ages, err := p.Ledger.LossAges(r.Context(), q, upTo...)
	if err == nil {
		c.drawLosses(r, ages)
	}
	return c, err
}

func (c *chart) drawLosses(r *http.Request, ages *channels.LossAges) {
	sum := ages.AgeUnknown
	for _, row := range ages.Rows {
		sum += row.Lost
	}
	if sum == 0 {
		return
	}
	var bars []float64
	add := func(label string, lost int64) {
		c.Axis = append(c.Axis, strings.ReplaceAll(label, " ", "")) // a phone is narrow
		c.Rows = append(c.Rows, []string{label, number(lost), share(lost, sum)})
		bars = append(bars, float64(lost))
	}
	for i, row := range ages.Rows {
		add(web.Say(r, lossAges[i].zh, lossAges[i].en), row.Lost)
	}
	if ages.AgeUnknown > 0 {
		add(web.Say(r, "不详", "unknown"), ages.AgeUnknown)
	}
	plot := newPlot(len(bars), bars)
	plot.bars("down", bars)
	plot.hints(c.Rows, c.Heads)
	c.SVG, c.Top = plot.picture(), number(int64(plot.high))
}

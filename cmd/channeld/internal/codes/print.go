package codes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // of logos
	_ "image/png"
	"io"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/store"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
	"github.com/wechatqr/wechatqr/qrimage"
)

// printView is what the page of printing shows.
type printView struct {
	Problem  string
	Codes    int // chosen
	Selected selection
	Groups   []string
	Sizes    []size

	Temporary bool // asks for the second click
	Days      int
	PerPage   int
}

// size is that of a code on a sheet.
type size struct {
	PerPage     int
	Millimetres int
	Reads       string // how far away a phone reads it
}

// sizes are those of qrimage.Layout. A phone reads a code from about ten times its side.
var sizes = []size{{6, 70, "70 cm"}, {12, 48, "50 cm"}, {24, 32, "30 cm"}}

// selection is whose codes are printed: those of a job, a group or a channel, or all.
type selection struct{ Job, Group, Channel string }

func selectionOf(r *http.Request) selection {
	return selection{r.FormValue("job"), r.FormValue("group"), r.FormValue("channel")}
}

// codes returns those of the selection.
func (p *Pages) codes(ctx context.Context, s selection) ([]channels.Code, error) {
	all, err := p.Ledger.Codes(ctx, channels.Query{Group: s.Group, Channel: s.Channel})
	if err != nil || s.Job == "" {
		return all, err
	}
	rows, err := p.Store.JobRows(ctx, s.Job, channels.MaxCodes)
	if err != nil {
		return nil, err
	}
	of := map[string]bool{}
	for _, row := range rows {
		of[row.Channel.Key] = true
	}
	var some []channels.Code
	for i := range all {
		if of[all[i].Channel.Key] {
			some = append(some, all[i])
		}
	}
	return some, nil
}

func (p *Pages) printForm(w http.ResponseWriter, r *http.Request) {
	p.showPrint(w, r, http.StatusOK, printView{})
}

func (p *Pages) showPrint(w http.ResponseWriter, r *http.Request, status int, v printView) {
	all, err := p.Ledger.Channels(r.Context())
	if err != nil {
		p.fail(w, r, err)
		return
	}
	v.Selected, v.Groups, v.Sizes = selectionOf(r), web.Groups(all), sizes
	chosen, err := p.codes(r.Context(), v.Selected)
	if err != nil && !errors.Is(err, channels.ErrUnknownChannel) &&
		!errors.Is(err, wechatqr.ErrInvalidArgument) {
		p.fail(w, r, err)
		return
	}
	v.Codes = len(chosen)
	page := web.Page{Status: status, Title: web.Say(r, "打印", "Print"), Place: "print"}
	p.Frame.Show(w, r, page, templates, "print.html", v)
}

// Most that one request prints: the server draws one code after another.
const maxPrinted = 5000

// chosen returns what the form asks for, or answers why it cannot be printed.
func (p *Pages) chosen(w http.ResponseWriter, r *http.Request) ([]qrimage.Code, bool) {
	refuse := func(zh, en string) ([]qrimage.Code, bool) {
		p.showPrint(w, r, http.StatusUnprocessableEntity, printView{Problem: web.Say(r, zh, en)})
		return nil, false
	}
	all, err := p.codes(r.Context(), selectionOf(r))
	switch {
	case errors.Is(err, channels.ErrUnknownChannel), errors.Is(err, wechatqr.ErrInvalidArgument):
		return refuse("没有这个渠道，或同时选了渠道和分组。",
			"There is no such channel, or both a channel and a group are chosen.")
	case err != nil:
		p.fail(w, r, err)
		return nil, false
	case len(all) == 0:
		return refuse("选中的渠道还没有码。", "The chosen channels have no codes yet.")
	case len(all) > maxPrinted:
		return refuse("一次最多打印 5000 个，请按分组选择。",
			"At most 5000 at once: choose a group.")
	}
	chosen := make([]qrimage.Code, len(all))
	for i := range all {
		chosen[i] = qrimage.Code{
			Ticket: &all[i].Ticket, Caption: caption(&all[i].Channel, r.FormValue("caption")),
		}
	}
	return chosen, true
}

// caption is what stands beneath a code.
func caption(c *channels.Channel, which string) string {
	switch {
	case which == "key", c.Name == "":
		return c.Key
	case which == "both":
		return c.Key + " · " + c.Name // a long name is cut
	}
	return c.Name
}

// printSheet is a page that prints as sheets of A4.
func (p *Pages) printSheet(w http.ResponseWriter, r *http.Request) {
	style, err := styleOf(r)
	if err != nil {
		p.showPrint(w, r, http.StatusUnprocessableEntity, printView{Problem: logoProblem(r)})
		return
	}
	if chosen, ok := p.chosen(w, r); ok {
		p.sheet(w, r, chosen, qrimage.Layout{Style: style})
	}
}

// sheetPolicy lets the sheet have its own styles. It has no script.
const sheetPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; " +
	"base-uri 'none'; frame-ancestors 'none'"

func (p *Pages) sheet(
	w http.ResponseWriter, r *http.Request, chosen []qrimage.Code, layout qrimage.Layout,
) {
	layout.PerPage, _ = strconv.Atoi(r.FormValue("per")) // 0, the default, is good too
	layout.Title = web.Say(r, "渠道二维码", "Channel codes")
	var b bytes.Buffer
	if err := qrimage.Sheet(&b, values(chosen), layout); err != nil {
		p.cannotDraw(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", sheetPolicy)
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(b.Bytes()) // the browser may have closed the connection
}

func values(all []qrimage.Code) iter.Seq[qrimage.Code] {
	return func(yield func(qrimage.Code) bool) {
		for _, one := range all {
			if !yield(one) {
				return
			}
		}
	}
}

func (p *Pages) cannotDraw(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, wechatqr.ErrInvalidArgument) {
		p.fail(w, r, err)
		return
	}
	p.showPrint(w, r, http.StatusUnprocessableEntity, printView{Problem: err.Error()})
}

// printZIP is a file for each code.
func (p *Pages) printZIP(w http.ResponseWriter, r *http.Request) {
	style, err := styleOf(r)
	if err != nil {
		p.showPrint(w, r, http.StatusUnprocessableEntity, printView{Problem: logoProblem(r)})
		return
	}
	format := qrimage.FormatSVG
	if r.FormValue("format") == "png" {
		format, style.Size = qrimage.FormatPNG, qrimage.Pixels(1000)
	}
	chosen, ok := p.chosen(w, r)
	if !ok {
		return
	}
	var b bytes.Buffer
	if err := qrimage.ZIP(&b, values(chosen), format, style); err != nil {
		p.cannotDraw(w, r, err)
		return
	}
	name := fmt.Sprintf("codes-%s.zip", time.Now().In(p.Location).Format("20060102-1504"))
	h := w.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(b.Bytes()) // the browser may have closed the connection
}

var errLogo = errors.New("the logo is no picture, or too large")

const (
	maxLogoBytes = 1 << 20
	maxLogoSide  = 4096 // pixels
)

func logoProblem(r *http.Request) string {
	return web.Say(r, "标志须为 PNG 或 JPEG，最多 1 MB、4096 像素见方。",
		"A logo is a PNG or JPEG of 1 MB and 4096 × 4096 pixels at most.")
}

// styleOf has the logo that was uploaded, if there is one.
func styleOf(r *http.Request) (style qrimage.Style, err error) {
	if err := r.ParseMultipartForm(maxInMemory); err != nil {
		if errors.Is(err, http.ErrNotMultipart) {
			return style, nil
		}
		return style, errLogo
	}
	file, header, err := r.FormFile("logo")
	if err != nil || header.Size == 0 {
		return style, nil
	}
	defer file.Close()
	if header.Size > maxLogoBytes {
		return style, errLogo
	}
	bounds, _, err := image.DecodeConfig(file)
	if err != nil || bounds.Width > maxLogoSide || bounds.Height > maxLogoSide {
		return style, errLogo
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return style, errLogo
	}
	if style.Logo, _, err = image.Decode(file); err != nil {
		return style, errLogo
	}
	return style, nil
}

// Temporary codes are for a while, and each is a call to WeChat.
const (
	maxTemporary     = 200
	maxTemporaryDays = 30
)

// printTemporary makes temporary codes with the scenes of the channels' codes, so that
// their scans count there. What is printed outlives them: the first click warns.
func (p *Pages) printTemporary(w http.ResponseWriter, r *http.Request) {
	days, err := strconv.Atoi(r.FormValue("days"))
	if err != nil || days < 1 || days > maxTemporaryDays {
		p.showPrint(w, r, http.StatusUnprocessableEntity, printView{
			Problem: web.Say(r, "有效期为 1 至 30 天。", "Temporary codes live 1 to 30 days."),
		})
		return
	}
	if r.FormValue("sure") != "yes" {
		perPage, _ := strconv.Atoi(r.FormValue("per"))
		p.showPrint(w, r, http.StatusOK, printView{Temporary: true, Days: days, PerPage: perPage})
		return
	}
	chosen, ok := p.chosen(w, r)
	if !ok {
		return
	}
	if len(chosen) > maxTemporary {
		p.showPrint(w, r, http.StatusUnprocessableEntity, printView{Problem: web.Say(
			r, "临时码一次最多 200 个。", "At most 200 temporary codes at once.",
		)})
		return
	}
	life := time.Duration(days) * 24 * time.Hour
	for i := range chosen {
		request := wechatqr.Temporary(chosen[i].Ticket.Scene, life)
		chosen[i].Ticket, err = p.Client.CreateTicket(r.Context(), request)
		if err != nil {
			web.LogFault(p.Logger.Warn, r, "channeld: temporary codes", err)
			p.showPrint(w, r, http.StatusBadGateway, printView{Problem: web.Say(r,
				"微信没有建成临时码：设置 → 现在检查会说明原因。请稍后再试。",
				"WeChat did not make the codes: Settings, Check now says why. Try later.")})
			return
		}
		chosen[i].Ticket.ExpiresAt = chosen[i].Ticket.ExpiresAt.In(p.Location)
	}
	p.sheet(w, r, chosen, qrimage.Layout{AllowTemporary: true})
}

// picture is the code of a channel.
func (p *Pages) picture(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	all, err := p.Ledger.Codes(r.Context(), channels.Query{Channel: key})
	switch {
	case errors.Is(err, channels.ErrUnknownChannel), err == nil && len(all) == 0:
		p.Frame.NotFound(w, r)
		return
	case err != nil && !errors.Is(err, store.ErrNotFound):
		p.fail(w, r, err)
		return
	}
	if !web.VisitorOf(r.Context()).Sees(all[0].Channel.Key, all[0].Channel.Group) {
		p.Frame.NotFound(w, r)
		return
	}
	var b bytes.Buffer
	style := qrimage.Style{Size: qrimage.Pixels(300)}
	if err := qrimage.SVG(&b, qrimage.Code{Ticket: &all[0].Ticket}, style); err != nil {
		p.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Cache-Control", "private, max-age=300")
	_, _ = w.Write(b.Bytes()) // the browser may have closed the connection
}

package tickets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/wechatqr/wechatqr"
)

// permanentMaxAge is how long a browser may keep the picture of a permanent code.
const permanentMaxAge = 24 * time.Hour

// noPicture is shown where there is no code: <img> shows it whatever the status.
const noPicture = `<svg xmlns="http://www.w3.org/2000/svg" width="430" height="430" viewBox="0 0 430 430">` +
	`<rect width="430" height="430" fill="#fff" stroke="#999"/>` +
	`<g font-family="sans-serif" font-size="22" text-anchor="middle" fill="#555">` +
	`<text x="215" y="205">二维码暂时无法显示</text><text x="215" y="240">No QR code right now</text></g></svg>`

// Picture serves the picture of the code at an address that stays the same while
// the code is renewed: <img src="/code">. It is WeChat's picture, with an ETag.
//
// Cache-Control lets a browser keep the picture of a temporary code until the code
// is to be renewed, at half its life at the latest, and past that makes it ask each
// time; a permanent code's for a day. So a page that reloads the picture within
// half of the code's life always shows one that is good; the address does not
// push a new one to the page.
//
// When WeChat or the store is away, the last picture is served until its code
// ends. Where there is none, the response is 503 with Retry-After and a picture
// that says so in Chinese and English, and the Keeper's logger hears why; for a
// request that is not valid it is 500. Methods other than GET and HEAD get 405.
func (k *Keeper) Picture(req wechatqr.TicketRequest) http.Handler {
	return &pictures{keeper: k, req: req, key: keyOf(k.account, req)}
}

// pictures is the address of one code.
type pictures struct {
	keeper *Keeper
	req    wechatqr.TicketRequest
	key    Key

	mu      sync.Mutex // guards what follows; not held during I/O
	last    *picture   // nil: there was none yet
	running *flight[*picture]
	fetches pause
}

type picture struct {
	*wechatqr.QRCode
	ticket wechatqr.Ticket
	etag   string
}

func (p *pictures) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}

	pic, err := p.current(r.Context())
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err != nil {
		p.unavailable(w, r, err)
		return
	}
	w.Header().Set("Content-Type", pic.ContentType)
	w.Header().Set("Cache-Control", p.cacheControl(pic.ticket))
	w.Header().Set("ETag", pic.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(pic.Data))
}

func (p *pictures) cacheControl(t wechatqr.Ticket) string {
	age := permanentMaxAge
	if !t.Permanent() {
		age = time.Until(renewAt(p.key, t))
	}
	if age < time.Second {
		return "no-cache"
	}
	return "max-age=" + strconv.Itoa(int(age/time.Second)) + ", must-revalidate"
}

// current is the picture of the code that is kept. Until there is a picture of a
// code that was renewed, it is that of the old one, while that is good.
func (p *pictures) current(ctx context.Context) (*picture, error) {
	t, err := p.keeper.Ticket(ctx, p.req)
	last := p.good()
	if err != nil {
		return last.or(err)
	}
	if last != nil && last.ticket.Value == t.Value {
		return last, nil
	}

	f := p.fetch(ctx, *t, last != nil)
	if last != nil {
		return last, nil
	}
	return f.wait(ctx)
}

// or returns the picture if there is one, else err.
func (pic *picture) or(err error) (*picture, error) {
	if pic != nil {
		return pic, nil
	}
	return nil, err
}

// good is the last picture if its code still is.
func (p *pictures) good() *picture {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil || p.last.ticket.Expired(time.Now()) {
		return nil
	}
	return p.last
}

// fetch returns the fetch under way or starts one; behind the caller, not so
// shortly after one that failed.
func (p *pictures) fetch(ctx context.Context, t wechatqr.Ticket, behind bool) *flight[*picture] {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil || behind && !p.fetches.over(time.Now()) {
		return p.running
	}

	f := newFlight[*picture]("fetch picture")
	if p.last != nil && p.last.ticket.Value == t.Value {
		f.value = p.last // it came between the caller's look and the lock
		close(f.done)
		return f
	}
	p.running = f
	f.behind(ctx, func(ctx context.Context) (*picture, error) {
		code, err := p.keeper.client.FetchQRCode(ctx, t.Value)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(code.Data)
		return &picture{code, t, `"` + hex.EncodeToString(sum[:16]) + `"`}, nil
	}, func() { p.settle(ctx, f, behind) })
	return f
}

func (p *pictures) settle(ctx context.Context, f *flight[*picture], behind bool) {
	p.mu.Lock()
	p.running = nil
	p.fetches.note(f.err, time.Now())
	if f.err == nil {
		p.last = f.value
	}
	p.mu.Unlock()
	if behind && f.err != nil {
		p.keeper.warn(ctx, "wechatqr: the picture of a renewed code was not fetched; "+
			"the present one stays in use", p.key, f.err)
	}
}

func (p *pictures) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusServiceUnavailable
	if errors.Is(err, wechatqr.ErrInvalidArgument) {
		status = http.StatusInternalServerError
	}
	if r.Context().Err() == nil {
		p.keeper.warn(r.Context(), "wechatqr: there is no picture to show", p.key, err)
	}

	h := w.Header()
	h.Set("Content-Type", "image/svg+xml")
	h.Set("Cache-Control", "no-store")
	h.Set("Retry-After", "5")
	h.Set("Content-Length", strconv.Itoa(len(noPicture)))
	w.WriteHeader(status)
	if r.Method == http.MethodGet {
		_, _ = w.Write([]byte(noPicture)) // a client that is gone needs none
	}
}

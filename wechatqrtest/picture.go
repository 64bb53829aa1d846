package wechatqrtest

import (
	"bytes"
	"image"
	"image/draw"
	"image/jpeg"
	"sync"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/qrimage"
)

const pictureSize = 430 // pixels, both ways

// drawQR returns a JPEG of text as a QR code.
func drawQR(text string) ([]byte, error) {
	code := qrimage.Code{Ticket: &wechatqr.Ticket{Content: text}}
	img, err := qrimage.Image(code, qrimage.Style{Size: qrimage.Pixels(pictureSize)})
	if err != nil {
		return nil, err
	}
	gray := image.NewGray(img.Bounds()) // which image/jpeg encodes fast
	draw.Draw(gray, gray.Rect, img, image.Point{}, draw.Src)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, gray, &jpeg.Options{Quality: 85}); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

const keptPictures = 64

// pictures caches JPEGs by content. It is emptied when it holds keptPictures.
type pictures struct {
	mu   sync.Mutex
	data map[string][]byte
}

func (p *pictures) get(text string) ([]byte, error) {
	p.mu.Lock()
	data, ok := p.data[text]
	p.mu.Unlock()
	if ok {
		return data, nil
	}
	data, err := drawQR(text)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.data == nil || len(p.data) >= keptPictures {
		p.data = map[string][]byte{}
	}
	p.data[text] = data
	return data, nil
}

// Picture is the JPEG of a code, for a page beside the API: no request is recorded,
// no fault applies, and an expired code still has one. The error is
// ErrUnknownTicket.
func (s *Server) Picture(ticket string) ([]byte, error) {
	c, ok := s.QRCode(ticket)
	if !ok {
		return nil, ErrUnknownTicket
	}
	return s.pictures.get(c.Content)
}

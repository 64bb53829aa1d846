package wechatqrtest

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"sync"

	"github.com/boombuler/barcode/qr"
)

const (
	pictureSize = 430 // pixels, both ways
	quietZone   = 4   // white modules that ISO/IEC 18004 requires on each side
)

// drawQR returns a JPEG of text as a QR code, with a whole number of pixels for
// each module.
func drawQR(text string) ([]byte, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return nil, err
	}
	modules := code.Bounds().Dx()
	scale := pictureSize / (modules + 2*quietZone)
	margin := (pictureSize - modules*scale) / 2

	img := image.NewGray(image.Rect(0, 0, pictureSize, pictureSize))
	for i := range img.Pix {
		img.Pix[i] = 0xff
	}
	for y := range modules * scale {
		row := img.Pix[(y+margin)*img.Stride+margin:]
		for x := range modules * scale {
			if code.At(x/scale, y/scale) == color.Black {
				row[x] = 0
			}
		}
	}

	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 85}); err != nil {
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

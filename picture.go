package wechatqr

import (
	"bytes"
	"encoding/binary"
	"net/http"
)

// QRCode is a picture of a code.
type QRCode struct {
	Data        []byte
	ContentType string // found from Data: image/jpeg, image/png or image/gif
}

// Extension is the end of a file's name for the picture: ".jpg", ".png" or
// ".gif"; empty if ContentType is none of these.
func (c *QRCode) Extension() string {
	return map[string]string{"image/jpeg": ".jpg", "image/png": ".png", "image/gif": ".gif"}[c.ContentType]
}

// accept fills the code from a response if that is a picture.
func (c *QRCode) accept(x *apiRequest, status int, response []byte) (outcome, error) {
	if status == http.StatusNotFound {
		const message = "WeChat does not know the ticket: was it cut off, or escaped already?"
		return failed, &Error{Op: x.op, StatusCode: status, Message: message, known: &rowTicketNotFound}
	}
	if kind := pictureType(response); kind != "" && status == http.StatusOK {
		*c = QRCode{response, kind}
		return succeeded, nil
	}

	o, err := x.classifyJSON(status, response)
	e, _ := err.(*Error)
	switch {
	case err == nil || e.Code == 0 && status == http.StatusOK:
		return unreadable, unexpected(x.op, status, "no picture: "+x.snippet(response))
	case refused(err): // there was no token
		e.known = &rowUnexpected
	}
	return o, err
}

// pictureType returns the content type of a JPEG, PNG or GIF, found by its
// header up to the size, and "" for anything else. It does without package image,
// which would be linked into every program.
func pictureType(b []byte) string {
	switch {
	case len(b) >= 24 && string(b[:8]) == "\x89PNG\r\n\x1a\n" && string(b[12:16]) == "IHDR" &&
		binary.BigEndian.Uint32(b[16:]) > 0 && binary.BigEndian.Uint32(b[20:]) > 0:
		return "image/png"
	case len(b) >= 10 && (string(b[:6]) == "GIF87a" || string(b[:6]) == "GIF89a") &&
		binary.LittleEndian.Uint16(b[6:]) > 0 && binary.LittleEndian.Uint16(b[8:]) > 0:
		return "image/gif"
	case bytes.HasPrefix(b, []byte("\xff\xd8")) && isJPEG(b[2:]):
		return "image/jpeg"
	}
	return ""
}

// isJPEG follows the segments to the one with the size.
func isJPEG(b []byte) bool {
	for len(b) >= 9 && b[0] == 0xff {
		switch marker := b[1]; {
		case marker == 0xff: // filling
			b = b[1:]
		case marker < 0xc0 || marker >= 0xd0 && marker <= 0xda: // no segment, or the picture itself
			return false
		case marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc:
			return binary.BigEndian.Uint16(b[5:]) > 0 && binary.BigEndian.Uint16(b[7:]) > 0
		default:
			length := int(binary.BigEndian.Uint16(b[2:]))
			b = b[min(2+length, len(b)):]
		}
	}
	return false
}

package scanlogin

import (
	"context"
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// linked is the record to which the link in a chat leads, or nil.
func (h *handler) linked(ctx context.Context, token string) (*record, error) {
	id, _, _ := strings.Cut(token, ".")
	if !isID(id) {
		return nil, nil
	}
	r, _, err := h.load(ctx, id)
	if err != nil || r == nil || !h.opens(r, token) {
		return nil, err
	}
	left, err := h.hasLeft(ctx, r)
	if left && r.State != StateDone {
		r.State = StateRefused
	}
	return r, err
}

// opens reports whether the token is the link's that the person has in the chat.
func (h *handler) opens(r *record, token string) bool {
	_, secret, _ := strings.Cut(token, ".")
	return h.confirm == byLink &&
		subtle.ConstantTimeCompare([]byte(h.hash(secret, "link")), []byte(r.Link)) == 1
}

// linkPage asks the person, on the phone.
func (h *handler) linkPage(w http.ResponseWriter, r *http.Request, token string) {
	rec, err := h.linked(r.Context(), token)
	if err != nil {
		h.fail(w, r, Visitor{}, err)
		return
	}
	p := newPage(r, rec.status(time.Now()), User{})
	p.Link = &Link{Token: token}
	if rec != nil {
		p.User, p.Binds = shown(rec.User.Name), rec.User.ID != ""
		p.Link.Agent, p.Link.Begun = agent(rec.Browser.Agent), rec.Begun
		p.Link.Place = shown(h.place(rec.Browser.Address))
	}
	h.write(w, r, p, http.StatusOK)
}

// answerLink is a button of that page.
func (h *handler) answerLink(w http.ResponseWriter, r *http.Request, token string) {
	to := StateRefused
	if r.PostFormValue("do") == "approve" {
		to = StateConfirmed
	}
	rec, err := h.linked(r.Context(), token)
	if err == nil && rec != nil {
		id, _, _ := strings.Cut(token, ".")
		_, err = h.update(r.Context(), id, func(rec *record) bool {
			switch state := rec.at(time.Now()); {
			case !h.opens(rec, token):
				return false
			case state == StateScanned || state == StateUsed:
			case state == StateConfirmed && to == StateRefused:
			default:
				return false
			}
			rec.State = to
			return true
		})
	}
	if err != nil {
		h.fail(w, r, Visitor{}, err)
		return
	}
	redirect(w, url.Values{"confirm": {token}, "lang": {language(r)}})
}

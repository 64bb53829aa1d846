package wechatqrtest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/wechatqr/wechatqr"
)

// How often a push is delivered, the first time included.
const (
	spacedDeliveries = 3 // without a response
	burstDeliveries  = 4 // with a wrong status
)

// ServiceFault is what WeChat shows the user when a push is not answered as
// it should be.
const ServiceFault = "该公众号提供的服务出现故障，请稍后再试"

// Push is one push and what came of it.
type Push struct {
	ID       int            `json:"id"` // 1, 2, … in the order of the first delivery
	Event    wechatqr.Event `json:"event"`
	Attempts []Attempt      `json:"attempts"`
	Reply    Reply          `json:"reply"`
	Done     bool           `json:"done"` // no further attempt is made
}

// Attempt is one delivery of a push: a POST with the headers of [NewRequest].
type Attempt struct {
	Time     time.Time      `json:"time"`
	Duration time.Duration  `json:"duration"`
	URL      string         `json:"url"`    // with the signed query
	Body     string         `json:"body"`   // as sent
	Status   int            `json:"status"` // 0: there was no answer
	Answer   string         `json:"answer"` // as it came, the first 64 KiB
	Err      *CallbackError `json:"err,omitempty"`
}

// Err is why the push was not answered as it should be: the problem of the
// last attempt, or nil.
func (p Push) Err() error {
	if n := len(p.Attempts); n > 0 && p.Attempts[n-1].Err != nil {
		return fmt.Errorf("wechatqrtest: push %d: delivered %d times: %w", p.ID, n, p.Attempts[n-1].Err)
	}
	return nil
}

// UserSees is what the user sees in the chat: the reply's text, ServiceFault, or
// nothing.
func (p Push) UserSees() string {
	switch {
	case !p.Done || p.Event.Type.Is(wechatqr.EventUnsubscribe):
		return "" // one who left sees no chat
	case p.Err() != nil:
		return ServiceFault
	}
	return p.Reply.Text()
}

// WithPushTimeout sets how long the response to a push may take; the default is
// 5 s, as on WeChat.
func WithPushTimeout(d time.Duration) Option { return func(s *Server) { s.pushTimeout = d } }

// WithRetryDelay sets the time between a delivery without a response and the
// next one. By default there is none: after a timeout deliveries are 5 s apart,
// as on WeChat.
func WithRetryDelay(d time.Duration) Option { return func(s *Server) { s.retryDelay = d } }

// WithSpacedRetries has a wrong status followed by the same deliveries as no
// response: up to three in all, signed anew, WithRetryDelay apart. By default
// up to four follow each other at once with the same URL and body, as WeChat was
// seen to do: a failure that lasts longer loses the event.
func WithSpacedRetries() Option { return func(s *Server) { s.spaced = true } }

const keptPushes = 200

// Pushes are the latest 200, oldest first.
func (s *Server) Pushes() []Push {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Push, len(s.st.Pushes))
	for i, p := range s.st.Pushes {
		out[i] = p.clone()
	}
	return out
}

func (p *Push) clone() Push {
	c := *p
	c.Attempts = slices.Clone(p.Attempts)
	return c
}

// Push delivers ev, any event or message, to the callback, until it is answered
// in time with status 200: up to three times without a response, and four with
// another status, see [WithSpacedRetries]. It waits for the answer and
// returns it, decoded. The blanks of ev are filled in as NewRequest does it;
// CreateTime is by this machine's clock, as the signed timestamp is, and a
// second after the user's last event at the least. Pushing the Event of a Push
// again is delivering it again, for it keeps its CreateTime and so its ID.
//
// If the callback fails, the error is that of [Push.Err] and holds a
// *[CallbackError]. Other errors are ErrNoCallback, that of ctx, and
// http.ErrServerClosed. The Push is good with any error.
func (s *Server) Push(ctx context.Context, ev wechatqr.Event) (Push, error) {
	s.mu.Lock()
	complete(&ev, s.st.Account, s.moment)
	base := s.st.Callback.URL
	l, err := s.line()
	if err == nil && base == "" {
		err = ErrNoCallback
	}
	if err != nil {
		s.mu.Unlock()
		return Push{Event: ev}, err
	}
	s.st.LastPush++
	p := &Push{ID: s.st.LastPush, Event: ev}
	if len(s.st.Pushes) >= keptPushes {
		s.st.Pushes = slices.Delete(s.st.Pushes, 0, len(s.st.Pushes)-keptPushes+1)
	}
	s.st.Pushes = append(s.st.Pushes, p)
	s.notify()
	s.mu.Unlock()

	err = s.deliver(ctx, l, base, p)
	s.mu.Lock()
	defer s.mu.Unlock()
	p.Done = true
	s.notify()
	out := p.clone()
	if err == nil {
		err = out.Err()
	}
	return out, err
}

func (s *Server) deliver(ctx context.Context, l line, base string, p *Push) error {
	address, body := l.push(base, p.Event, time.Now())
	for n := 1; ; n++ {
		a, err := s.exchange(ctx, http.MethodPost, address, body)
		wrongStatus := a.Err != nil && (a.Err.Problem == ProblemWrongStatus || a.Err.Problem == ProblemRedirected)
		var reply Reply
		answered := err == nil && a.Err == nil
		if answered {
			reply, a.Err = l.reply([]byte(a.Answer))
			if a.Err == nil && reply.MsgType != "" {
				a.Err = misaddressed(reply, p.Event)
			}
			if a.Err != nil {
				a.Err.Status = a.Status
				reply = Reply{}
			}
		}
		s.mu.Lock()
		p.Attempts = append(p.Attempts, a)
		p.Reply = reply
		s.notify()
		s.mu.Unlock()

		burst := wrongStatus && !s.spaced
		switch {
		case err != nil || answered:
			return err
		case burst && n < burstDeliveries:
		case burst || n >= spacedDeliveries:
			return nil
		default:
			if err := s.pause(ctx); err != nil {
				return err
			}
			address, body = l.push(base, p.Event, time.Now())
		}
	}
}

// pause waits for the time between two deliveries.
func (s *Server) pause(ctx context.Context) error {
	t := time.NewTimer(s.retryDelay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.life.Done():
		return http.ErrServerClosed
	}
}

func misaddressed(r Reply, ev wechatqr.Event) *CallbackError {
	switch {
	case r.ToUserName != ev.FromUserName:
		return &CallbackError{Problem: ProblemWrongReply, Detail: fmt.Sprintf("ToUserName is %q: a reply goes to FromUserName of the push, %q", r.ToUserName, ev.FromUserName)}
	case r.FromUserName != ev.ToUserName:
		return &CallbackError{Problem: ProblemWrongReply, Detail: fmt.Sprintf("FromUserName is %q: a reply comes from ToUserName of the push, %q", r.FromUserName, ev.ToUserName)}
	}
	return nil
}

package wechatqrtest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/wechatqr/wechatqr"
)

// Deliveries of one push at most, the first included.
const (
	maxSpacedDeliveries = 3 // without a response
	maxBurstDeliveries  = 4 // with a status other than 200
)

// ServiceFault is what WeChat shows the user when the callback fails.
const ServiceFault = "该公众号提供的服务出现故障，请稍后再试"

// Push is one push and its deliveries so far.
type Push struct {
	ID       int            `json:"id"`    // 1, 2, … in the order of the first deliveries
	Order    int            `json:"order"` // among requests, pushes and messages, by arrival
	Event    wechatqr.Event `json:"event"`
	Attempts []Attempt      `json:"attempts"`
	Reply    ReceivedReply  `json:"reply"`
	Done     bool           `json:"done"`              // no further attempt will be made
	Dropped  bool           `json:"dropped,omitempty"` // by a PushFault
}

// Attempt is one delivery of a push: a POST with the headers of [NewRequest].
type Attempt struct {
	Time     time.Time      `json:"time"`
	Duration time.Duration  `json:"duration"`
	URL      string         `json:"url"`      // with the signed query
	Body     string         `json:"body"`     // as sent
	Status   int            `json:"status"`   // 0: no response
	Response string         `json:"response"` // the body, cut after 64 KiB
	Err      *CallbackError `json:"err,omitempty"`
}

// Err is the error of the last attempt, or nil.
func (p Push) Err() error {
	if n := len(p.Attempts); n > 0 && p.Attempts[n-1].Err != nil {
		return fmt.Errorf("wechatqrtest: push %d: delivered %d times: %w", p.ID, n, p.Attempts[n-1].Err)
	}
	return nil
}

// UserSees is the text that the user sees in the chat: the reply's, ServiceFault,
// or none.
func (p Push) UserSees() string {
	switch {
	case !p.Done || p.Dropped || !hasChat(p.Event):
		return ""
	case p.Err() != nil:
		return ServiceFault
	}
	return p.Reply.Text()
}

// WithPushTimeout sets how long the response to a push may take. The default is
// 5 s, as on WeChat.
func WithPushTimeout(d time.Duration) Option { return func(c *config) { c.pushTimeout = d } }

// WithRetryDelay sets the pause between a delivery without a response and the
// next one. The default is none: after a timeout deliveries are 5 s apart, as on
// WeChat.
func WithRetryDelay(d time.Duration) Option { return func(c *config) { c.retryDelay = d } }

// WithSpacedRetries delivers a push again after a status other than 200 as it does
// after no response: up to three times in all, signed anew, WithRetryDelay apart.
// By default there are up to four deliveries with the same URL and body without a
// pause, as WeChat was seen to make: a failure that lasts longer loses the event.
func WithSpacedRetries() Option { return func(c *config) { c.spaced = true } }

const keptPushes = 200

// Pushes are the latest 200 pushes, oldest first.
func (s *Server) Pushes() []Push {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pushes()
}

// pushes are copies. The caller holds mu.
func (s *Server) pushes() []Push {
	out := copies(s.st.Pushes)
	for i := range out {
		out[i].Attempts = append([]Attempt{}, out[i].Attempts...)
	}
	return out
}

func (p *Push) clone() Push {
	c := *p
	c.Attempts = slices.Clone(p.Attempts)
	return c
}

// Push delivers ev, any event or message, to the callback and returns when it has
// responded with status 200, or when no attempt remains. Attempts by the outcome
// of the one before:
//
//	status 200                        none: the response is final
//	no response within the timeout    up to 3 in all, signed anew, WithRetryDelay apart
//	another status, or a redirect     up to 4 in all, the same request, without a pause
//	another status, WithSpacedRetries as without a response
//
// Empty fields of ev get the defaults of NewRequest. CreateTime is by this
// machine's clock, as the signed timestamp is, and at least one second after the
// user's last event. To redeliver a push, pass its Event: it keeps its CreateTime
// and so its ID.
//
// If the callback fails, the error is that of [Push.Err] and wraps a
// *[CallbackError]. Other errors are ErrNoCallback, that of ctx, and
// http.ErrServerClosed. The returned Push is valid with any error. A push that a
// PushFault dropped is no error.
func (s *Server) Push(ctx context.Context, ev wechatqr.Event) (Push, error) {
	s.mu.Lock()
	complete(&ev, s.st.Account, s.nextEventTime)
	base := s.st.Callback.URL
	codec, err := s.codec()
	if err == nil && base == "" {
		err = ErrNoCallback
	}
	if err != nil {
		s.mu.Unlock()
		return Push{Event: ev}, err
	}

	s.st.LastPush++
	p := &Push{ID: s.st.LastPush, Order: s.nextOrder(), Event: ev}
	if len(s.st.Pushes) >= keptPushes {
		s.st.Pushes = slices.Delete(s.st.Pushes, 0, len(s.st.Pushes)-keptPushes+1)
	}
	s.st.Pushes = append(s.st.Pushes, p)
	fault := s.takePushFault()
	p.Dropped = fault.Drop
	s.notify()
	s.mu.Unlock()

	if !fault.Drop {
		if err = s.pause(ctx, fault.Delay); err == nil {
			err = s.deliver(ctx, codec, base, p)
		}
	}

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

func (s *Server) deliver(ctx context.Context, codec callbackCodec, base string, p *Push) error {
	target, body := codec.push(base, p.Event, time.Now())
	for n := 1; ; n++ {
		a, _, err := s.requestCallback(ctx, http.MethodPost, target, body)
		final := err != nil || a.Err == nil // status 200, whatever the body says
		wrongStatus := a.Err != nil &&
			(a.Err.Reason == ReasonWrongStatus || a.Err.Reason == ReasonRedirected)
		var reply ReceivedReply
		if err == nil && a.Err == nil {
			reply, a.Err = codec.replyTo(p.Event, a)
		}

		s.mu.Lock()
		p.Attempts = append(p.Attempts, a)
		p.Reply = reply
		s.notify()
		s.mu.Unlock()

		burst := wrongStatus && !s.spaced
		switch {
		case final:
			return err
		case burst && n < maxBurstDeliveries:
		case burst || n >= maxSpacedDeliveries:
			return nil
		default:
			if err := s.pause(ctx, s.retryDelay); err != nil {
				return err
			}
			target, body = codec.push(base, p.Event, time.Now())
		}
	}
}

// replyTo reads the reply to ev from a response with status 200.
func (c callbackCodec) replyTo(ev wechatqr.Event, a Attempt) (ReceivedReply, *CallbackError) {
	reply, wrong := c.parseReply([]byte(a.Response))
	if wrong == nil && reply.MsgType != "" {
		wrong = checkAddress(reply, ev)
		if n := len(reply.Articles); wrong == nil && n > 1 && ev.MsgType != "event" {
			wrong = &CallbackError{Reason: ReasonWrongReply,
				Detail: fmt.Sprintf("there are %d articles, and in reply to a message only one is shown", n)}
		}
	}
	if wrong != nil {
		return ReceivedReply{}, wrong.withStatus(a.Status)
	}
	return reply, nil
}

func checkAddress(r ReceivedReply, ev wechatqr.Event) *CallbackError {
	const format = "%s is %q: in a reply it is %s of the push, %q"
	switch {
	case r.ToUserName != ev.FromUserName:
		return &CallbackError{Reason: ReasonWrongReply, Detail: fmt.Sprintf(format,
			"ToUserName", r.ToUserName, "FromUserName", ev.FromUserName)}
	case r.FromUserName != ev.ToUserName:
		return &CallbackError{Reason: ReasonWrongReply, Detail: fmt.Sprintf(format,
			"FromUserName", r.FromUserName, "ToUserName", ev.ToUserName)}
	}
	return nil
}

package main

import (
	"strconv"
	"sync"

	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// userNames are the names that the page gives to users.
var userNames = [...]string{
	"Lin", "Mei", "Bo", "Yun", "Tao", "Xia", "Jun", "Hua", "Qing", "Peng", "Rui", "Shan",
}

const colors = 6 // of avatars

type namedUser struct {
	name   phrase
	color  int
	thread string // for the page's address
}

// people numbers the users in the order in which they were first seen, so that a name
// stays when another user is removed.
type people struct {
	mu      sync.Mutex
	numbers map[string]int // by openid
}

// named gives each user, also those removed since, a unique name that does not change.
func (p *people) named(users []wechatqrtest.User) map[string]namedUser {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.numbers == nil {
		p.numbers = map[string]int{}
	}
	for _, u := range users {
		if _, ok := p.numbers[u.OpenID]; !ok {
			p.numbers[u.OpenID] = len(p.numbers)
		}
	}
	out := make(map[string]namedUser, len(p.numbers))
	for openID, i := range p.numbers {
		name := say(userNames[i%len(userNames)])
		if n := i / len(userNames); n > 0 {
			name = say("%s %d", name, n+1)
		}
		out[openID] = namedUser{name, i % colors, "p" + strconv.Itoa(i+1)}
	}
	return out
}

func (p *people) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.numbers = nil
}

// names are those of the users so far, by openid.
func (a *app) names() map[string]namedUser { return a.people.named(a.wx.Users()) }

// nameOf is the name of one user.
func (a *app) nameOf(openID string) phrase { return a.names()[openID].name }

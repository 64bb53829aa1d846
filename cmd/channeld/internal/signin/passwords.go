package signin

import (
	"crypto/rand"

	"github.com/alexedwards/argon2id"
)

// passwords hashes and compares, a few at a time: each takes 64 MiB.
type passwords struct {
	slots chan struct{}
	none  string // what a password is compared with if the user has none
}

const passwordsAtOnce = 2

func newPasswords() (*passwords, error) {
	p := &passwords{slots: make(chan struct{}, passwordsAtOnce)}
	none, err := p.hash(rand.Text())
	p.none = none
	return p, err
}

func (p *passwords) hash(password string) (string, error) {
	p.slots <- struct{}{}
	defer func() { <-p.slots }()
	return argon2id.CreateHash(password, argon2id.DefaultParams)
}

// match compares. It takes as long if there is no hash.
func (p *passwords) match(password, hash string) bool {
	p.slots <- struct{}{}
	defer func() { <-p.slots }()
	compared := hash
	if hash == "" {
		compared = p.none
	}
	equal, err := argon2id.ComparePasswordAndHash(password, compared)
	return err == nil && equal && hash != ""
}

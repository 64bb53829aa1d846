// Package web is what the pages and the server agree on: routes, roles and who asks.
package web

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// Role is what somebody may do. A greater one may do all that a lesser one may.
type Role int

// The roles, and Nobody, which a path has that needs no sign-in.
const (
	Nobody   Role = iota
	Guest         // has a share link, and sees one channel or one group
	Viewer        // sees everything, changes nothing
	Operator      // makes, moves and retires codes and channels
	Admin         // settings, users, keys, forgetting
)

// A Route is one pattern of http.ServeMux with the role that it needs.
type Route struct {
	Pattern string // "GET /channels/{key}"
	Needs   Role
	Handle  http.HandlerFunc

	// Long is a stream, an upload, what is made for a download, moves many rows, or has a
	// limit of its own: it goes on for as long as the visitor waits. Others have PageTimeout.
	Long bool
}

// PageTimeout is when a database that does not answer has the visitor told so.
const PageTimeout = 30 * time.Second

// A Visitor is who makes the request.
type Visitor struct {
	Name  string
	Role  Role
	Scope Scope // of a Guest
}

// Scope is what a Guest may see: one channel or one group, until an instant.
type Scope struct {
	Channel string
	Group   string
	Ends    time.Time
}

type visitorKey struct{}

// WithVisitor returns a context of the visitor's request.
func WithVisitor(ctx context.Context, v Visitor) context.Context {
	return context.WithValue(ctx, visitorKey{}, v)
}

// VisitorOf returns who makes the request; the zero Visitor is Nobody.
func VisitorOf(ctx context.Context) Visitor {
	v, _ := ctx.Value(visitorKey{}).(Visitor)
	return v
}

// Sees reports whether the visitor may see the channel with this key and group, or, if
// both are empty, the whole account.
func (v Visitor) Sees(key, group string) bool {
	switch s := v.Scope; {
	case v.Role > Guest:
		return true
	case v.Role < Guest:
		return false
	case s.Channel != "":
		return key == s.Channel
	default:
		return s.Group != "" && (group == s.Group || strings.HasPrefix(group, s.Group+"/"))
	}
}

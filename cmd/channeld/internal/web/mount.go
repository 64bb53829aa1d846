package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Mount returns the handler of the routes: each is served to who has its role, the
// others get refuse. Routes that Nobody may ask for are listed apart in open, so that
// one whose role was forgotten opens nothing: it is an error.
func Mount(routes, open []Route, refuse http.HandlerFunc) (http.Handler, error) {
	mux := http.NewServeMux()
	var errs []error
	for _, route := range routes {
		if route.Needs <= Nobody || route.Needs > Admin {
			errs = append(errs, fmt.Errorf("the route %q has no role", route.Pattern))
		}
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) {
			if VisitorOf(r.Context()).Role < route.Needs {
				refuse(w, r)
				return
			}
			route.serve(w, r)
		})
	}
	for _, route := range open {
		if route.Needs != Nobody {
			errs = append(errs, fmt.Errorf("the route %q is open and has a role", route.Pattern))
		}
		mux.HandleFunc(route.Pattern, route.serve)
	}
	return mux, errors.Join(errs...)
}

func (route *Route) serve(w http.ResponseWriter, r *http.Request) {
	if !route.Long {
		ctx, cancel := context.WithTimeout(r.Context(), PageTimeout)
		defer cancel()
		r = r.WithContext(ctx)
	}
	route.Handle(w, r)
}

// LocalPath is the path, or "/" if it leads to another host: what a form or an address
// says where to go next.
func LocalPath(path string) string {
	u, err := url.Parse(path)
	local := err == nil && u.Scheme == "" && u.Host == "" && strings.HasPrefix(path, "/")
	if !local || strings.HasPrefix(path, "//") || strings.Contains(path, `\`) {
		return "/"
	}
	return path
}

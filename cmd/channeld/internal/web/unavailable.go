package web

import "net/http"

// Unavailable answers a request that needs the database, which does not answer.
func Unavailable(w http.ResponseWriter) {
	http.Error(w, "channeld: the database does not answer", http.StatusServiceUnavailable)
}

package channels

import (
	"fmt"
	"strings"
)

// listError is what is wrong with a list of channels or with a line of it, for the person
// who wrote the list.
type listError struct {
	error
	text, textZH string
}

func (e *listError) Unwrap() error { return e.error }

func newListError(textZH, format string, args ...any) *listError {
	err := fmt.Errorf(format, args...)
	return &listError{err, err.Error(), textZH}
}

// badList is badInput with a Chinese text.
func badList(textZH, format string, args ...any) error {
	e := newListError(textZH, format, args...)
	e.error = badInput("%w", e.error)
	return e
}

// Explain returns what an error of [Ledger.Plan] or of a [PlanLine] says to the person who
// wrote the list, in English and in Chinese: what is wrong and what to do, without the
// line, which stands beside it. Of another error text is its own and textZH is empty.
func Explain(err error) (text, textZH string) {
	var texts, textsZH []string
	for _, one := range listErrors(err) {
		texts, textsZH = append(texts, one.text), append(textsZH, one.textZH)
	}
	if texts == nil && err != nil {
		return err.Error(), ""
	}
	return strings.Join(texts, "; "), strings.Join(textsZH, "；")
}

// listErrors are those in the tree of the error, the outermost of each branch.
func listErrors(err error) (all []*listError) {
	switch e := err.(type) {
	case *listError:
		return []*listError{e}
	case interface{ Unwrap() error }:
		return listErrors(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			all = append(all, listErrors(one)...)
		}
	}
	return all
}

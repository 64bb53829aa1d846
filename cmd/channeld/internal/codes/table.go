package codes

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
)

// What a workbook may have: it is a ZIP, of which the size says little.
const (
	maxUnzipped      = 64 << 20
	maxUnzippedSheet = 32 << 20

	// Its cells may repeat one long text, or lie far apart.
	maxListBytes = 10 << 20
)

// errNoTable and errTooLong say what is wrong with an upload.
var (
	errNoTable = errors.New("the file is no table")
	errTooLong = errors.New("the list has too many rows, or is too long")
)

// toCSV returns the upload as CSV for channels.Ledger.Plan: the first sheet of a workbook,
// or the text as it is. Of names alone each is the key too.
func toCSV(data []byte) (string, error) {
	if bytes.HasPrefix(data, []byte("PK\x03\x04")) {
		return workbookCSV(data)
	}
	if bytes.IndexByte(data, 0) >= 0 && !bytes.HasPrefix(data, []byte("\xff\xfe")) &&
		!bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return "", errNoTable
	}
	if names, ok := onlyNames(data); ok {
		return names, nil
	}
	return string(data), nil
}

func workbookCSV(data []byte) (text string, err error) {
	book, err := excelize.OpenReader(bytes.NewReader(data), excelize.Options{
		UnzipSizeLimit: maxUnzipped, UnzipXMLSizeLimit: maxUnzippedSheet,
	})
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoTable, err)
	}
	defer func() { err = errors.Join(err, book.Close()) }()
	rows, err := book.Rows(book.GetSheetName(0))
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoTable, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var b strings.Builder
	lines := csv.NewWriter(&b)
	for n := 0; rows.Next(); n++ {
		cells, err := rows.Columns()
		switch {
		case err != nil:
			return "", fmt.Errorf("%w: %w", errNoTable, err)
		case n > channels.MaxCodes, b.Len() > maxListBytes:
			return "", errTooLong
		}
		_ = lines.Write(cells) // a Builder takes everything
	}
	if err := rows.Error(); err != nil {
		return "", fmt.Errorf("%w: %w", errNoTable, err)
	}
	lines.Flush()
	return b.String(), nil
}

// onlyNames makes two columns of a list that has one.
func onlyNames(data []byte) (string, bool) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	if !utf8.ValidString(text) || strings.ContainsAny(text, "\t,;，\"") {
		return "", false
	}
	var b strings.Builder
	lines := csv.NewWriter(&b)
	for line := range strings.Lines(text) {
		if name := strings.TrimSpace(line); name != "" {
			_ = lines.Write([]string{name, name}) // a Builder takes everything
		}
	}
	lines.Flush()
	return b.String(), b.Len() > 0
}

// plan is what will happen to a list.
type plan struct {
	*channels.Plan
	Conflicts []conflict          // some of those that are left out
	Shown     []channels.PlanLine // some of those that change something
}

// conflict is a line that is left out.
type conflict struct {
	channels.PlanLine
	Why string
}

const maxShown = 20

func newPlan(r *http.Request, p *channels.Plan) *plan {
	shown := plan{Plan: p}
	for i := range p.Lines {
		line := &p.Lines[i]
		switch {
		case line.Status == channels.LineConflict:
			shown.Conflicts = append(shown.Conflicts, conflict{*line, explain(r, line.Err)})
		case line.Status != channels.LineSame:
			shown.Shown = append(shown.Shown, *line)
		}
	}
	shown.Conflicts = shown.Conflicts[:min(len(shown.Conflicts), maxShown)]
	shown.Shown = shown.Shown[:min(len(shown.Shown), maxShown)]
	return &shown
}

// explain is what the ledger says of a list or of a line, in the language of the request.
func explain(r *http.Request, err error) string {
	text, textZH := channels.Explain(err)
	return web.Say(r, cmp.Or(textZH, text), text)
}

// The four counts, and how many the account cannot have.
func (p *plan) New() int      { return p.Count(channels.LineNew) }
func (p *plan) Changed() int  { return p.Count(channels.LineChanged) }
func (p *plan) Same() int     { return p.Count(channels.LineSame) }
func (p *plan) Conflict() int { return p.Count(channels.LineConflict) }
func (p *plan) Over() int     { return max(-p.Left, 0) }

// Startable reports whether there is something to do that can be done.
func (p *plan) Startable() bool {
	return p.Over() == 0 && (p.Codes > 0 || p.New()+p.Changed() > 0)
}

// withoutConflicts leaves out the lines that cannot be applied.
func withoutConflicts(p *channels.Plan) {
	p.Lines = slices.DeleteFunc(p.Lines, func(line channels.PlanLine) bool {
		return line.Status == channels.LineConflict
	})
}

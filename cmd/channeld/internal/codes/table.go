package codes

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/xuri/excelize/v2"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/wechatqr/wechatqr/channels"
)

// What an upload may have. A workbook is a ZIP, of which the size says little.
const (
	maxRows          = channels.MaxCodes
	maxUnzipped      = 64 << 20
	maxUnzippedSheet = 32 << 20
)

// errTooManyRows, errNoTable and errNoRows say what is wrong with an upload.
var (
	errTooManyRows = errors.New("the list has too many rows")
	errNoTable     = errors.New("the file is neither CSV nor XLSX")
	errNoRows      = errors.New("the list is empty")
)

// readTable reads channels from the first sheet of an XLSX, or from CSV or pasted cells,
// in UTF-8 or GBK.
func readTable(data []byte) ([]channels.Channel, error) {
	if bytes.HasPrefix(data, []byte("PK")) {
		return readWorkbook(data)
	}
	if !utf8.Valid(data) {
		decoded, err := simplifiedchinese.GB18030.NewDecoder().Bytes(data)
		if err != nil || bytes.ContainsRune(decoded, utf8.RuneError) {
			return nil, errNoTable
		}
		data = decoded
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if bytes.IndexByte(data, 0) >= 0 {
		return nil, errNoTable
	}
	return readCSV(data)
}

func readCSV(data []byte) ([]channels.Channel, error) {
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	firstLine, _, _ := bytes.Cut(data, []byte("\n"))
	for _, comma := range "\t;," { // what Excel puts on the clipboard, or in a file
		if bytes.ContainsRune(firstLine, comma) {
			r.Comma = comma
			break
		}
	}
	var t table
	for {
		cells, err := r.Read()
		switch {
		case errors.Is(err, io.EOF):
			return t.list()
		case err != nil:
			return nil, fmt.Errorf("%w: %w", errNoTable, err)
		}
		if err := t.add(cells); err != nil {
			return nil, err
		}
	}
}

func readWorkbook(data []byte) (list []channels.Channel, err error) {
	book, err := excelize.OpenReader(bytes.NewReader(data), excelize.Options{
		UnzipSizeLimit: maxUnzipped, UnzipXMLSizeLimit: maxUnzippedSheet,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoTable, err)
	}
	defer func() { err = errors.Join(err, book.Close()) }()
	rows, err := book.Rows(book.GetSheetName(0))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoTable, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var t table
	for rows.Next() {
		cells, err := rows.Columns()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoTable, err)
		}
		if err := t.add(cells); err != nil {
			return nil, err
		}
	}
	if err := rows.Error(); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoTable, err)
	}
	return t.list()
}

// table collects the channels of the rows. The first row may name the columns; without
// names they are key, name and group, and a single one is the name, which is the key
// too.
type table struct {
	begun            bool
	key, name, group int // numbers of the columns; -1: none
	channels         []channels.Channel
}

// titles are what people call the columns.
var titles = map[string]string{
	"key": "key", "编号": "key", "渠道编号": "key", "渠道": "key", "channel": "key", "id": "key",
	"name": "name", "名称": "name", "渠道名称": "name", "名字": "name",
	"group": "group", "分组": "group", "组": "group", "渠道分组": "group",
}

func (t *table) add(cells []string) error {
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	if strings.Join(cells, "") == "" {
		return nil
	}
	if !t.begun {
		t.begun = true
		if t.begin(cells) {
			return nil
		}
	}
	if len(t.channels) == maxRows {
		return errTooManyRows
	}
	cell := func(column int) string {
		if column < 0 || column >= len(cells) {
			return ""
		}
		return strings.TrimPrefix(cells[column], "'") // the guard of an exported cell
	}
	c := channels.Channel{Key: cell(t.key), Name: cell(t.name), Group: cell(t.group)}
	if t.key < 0 {
		c.Key = c.Name
	}
	t.channels = append(t.channels, c)
	return nil
}

// begin finds the columns, and reports whether the row names them.
func (t *table) begin(cells []string) bool {
	found := map[string]int{"key": -1, "name": -1, "group": -1}
	named := false
	for i, cell := range cells {
		if column, ok := titles[strings.ToLower(cell)]; ok && found[column] < 0 {
			found[column], named = i, true
		}
	}
	t.key, t.name, t.group = found["key"], found["name"], found["group"]
	if named && t.key+t.name > -2 {
		return true
	}
	t.key, t.name, t.group = 0, 1, 2
	if len(cells) == 1 {
		t.key, t.name, t.group = -1, 0, -1
	}
	return false
}

func (t *table) list() ([]channels.Channel, error) {
	if len(t.channels) == 0 {
		return nil, errNoRows
	}
	return t.channels, nil
}

package channels

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// maxCSVBytes is the largest file that Plan reads. It may have MaxCodes channels.
const maxCSVBytes = 16 << 20

// columnWords are the names of a column in the first line, without spaces and in lower
// case. Without any of them the first line is a channel, and the columns come in this order.
var columnWords = [][]string{
	{"key", "channel", "channelkey", "编号", "渠道", "渠道编号", "渠道号", "渠道代码"},
	{"name", "channelname", "名称", "渠道名称", "渠道名", "门店", "店名"},
	{"group", "分组", "渠道分组", "组别", "区域"},
	{"scene", "scene_str", "场景", "场景值", "二维码参数"},
	{"origin"}, // of Report.WriteCSV, where what has an origin is no channel
}

const (
	keyColumn = iota
	nameColumn
	groupColumn
	sceneColumn
	originColumn
)

// sheet is what a CSV file says.
type sheet struct {
	columns []int // where each of columnWords is, or noPlace
	ignored []string
	lines   []sheetLine
	ended   bool // where a report's definitions begin
}

// sheetLine is a line of the file that is not empty.
type sheetLine struct {
	number int
	cells  []string // of columnWords, empty where there is none
	has    []bool   // which of them the line has
}

const noPlace = -1

func readSheet(r io.Reader) (*sheet, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxCSVBytes+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxCSVBytes {
		return nil, badList(
			fmt.Sprintf("CSV 文件超过 %d MiB：请拆分", maxCSVBytes>>20),
			"the CSV file is larger than %d MiB: divide it", maxCSVBytes>>20,
		)
	}
	text, err := decodeText(raw)
	if err != nil {
		return nil, err
	}

	s := &sheet{}
	lines := csv.NewReader(strings.NewReader(text))
	lines.Comma, lines.FieldsPerRecord = separatorOf(text), -1
	for {
		record, err := lines.Read()
		switch {
		case errors.Is(err, io.EOF) && len(s.lines) == 0:
			return nil, badList(
				"没有渠道：每行写一个", "the CSV file has no channel: write one in each line",
			)
		case errors.Is(err, io.EOF):
			return s, nil
		case err != nil:
			return nil, badList(
				quotesZH(err), `%w: close each " and write "" for one within a cell`, err,
			)
		}
		number, _ := lines.FieldPos(0)
		if err := s.add(number, record); err != nil {
			return nil, err
		}
	}
}

// quotesZH says where a quotation mark is wrong.
func quotesZH(err error) string {
	const what = `引号没有成对：每个 " 都要闭合，单元格内的写成 ""`
	var wrong *csv.ParseError
	if errors.As(err, &wrong) {
		return fmt.Sprintf("第 %d 行：%s", wrong.Line, what)
	}
	return what
}

// decodeText returns the text without its byte order mark, of whatever a spreadsheet
// writes: UTF-8, UTF-16 with a mark, or GBK. A text that is UTF-8 is not taken for GBK.
func decodeText(raw []byte) (string, error) {
	if bytes.HasPrefix(raw, []byte("PK\x03\x04")) {
		return "", badList(
			"这是工作簿，不是 CSV：请另存为 CSV UTF-8",
			"this is a workbook, not CSV: save it as CSV UTF-8",
		)
	}
	var markless encoding.Encoding = unicode.UTF8
	if !utf8.Valid(raw) {
		markless = simplifiedchinese.GB18030 // GBK and more
	}
	text, _, err := transform.Bytes(unicode.BOMOverride(markless.NewDecoder()), raw)
	if err != nil || bytes.ContainsRune(text, utf8.RuneError) {
		return "", badList(
			"文件既不是 UTF-8 也不是 GBK：请另存为 CSV UTF-8",
			"the file is neither UTF-8 nor GBK: save it as CSV UTF-8",
		)
	}
	return string(text), nil
}

// separatorOf is what stands between the columns of the first line: a tab, a semicolon or
// a comma, also a Chinese one.
func separatorOf(text string) rune {
	first, _, _ := strings.Cut(strings.TrimLeft(text, "\r\n"), "\n")
	best, most := ',', 0
	for _, separator := range []rune{'\t', ';', ',', '，'} {
		if n := strings.Count(first, string(separator)); n > most {
			best, most = separator, n
		}
	}
	return best
}

func (s *sheet) add(number int, record []string) error {
	for i, text := range record {
		record[i] = unguarded(strings.TrimSpace(text))
	}
	if s.columns == nil {
		isHeader, err := s.readHeader(record)
		if isHeader || err != nil {
			return err
		}
	}
	line := sheetLine{number, make([]string, len(columnWords)), make([]bool, len(columnWords))}
	for col, place := range s.columns {
		if place != noPlace && place < len(record) {
			line.cells[col], line.has[col] = record[place], true
		}
	}
	blank := strings.Join(record, "") == ""
	s.ended = s.ended || blank && s.columns[originColumn] != noPlace
	if blank || s.ended || line.cells[originColumn] != "" {
		return nil
	}
	s.lines = append(s.lines, line)
	if len(s.lines) > MaxCodes {
		return badList(
			fmt.Sprintf("第 %d 行：渠道超过 %d 个，微信不允许更多的码", number, MaxCodes),
			"line %d: there are more than %d channels: WeChat allows no more codes", number,
			MaxCodes,
		)
	}
	return nil
}

// readHeader finds the columns, and reports whether the line is their names.
func (s *sheet) readHeader(record []string) (isHeader bool, err error) {
	s.columns = slices.Repeat([]int{noPlace}, len(columnWords))
	for place, text := range record {
		word := strings.ToLower(strings.Join(strings.Fields(text), ""))
		col := slices.IndexFunc(columnWords, func(words []string) bool {
			return slices.Contains(words, word)
		})
		switch {
		case col < 0 && text != "":
			s.ignored = append(s.ignored, text)
		case col >= 0 && s.columns[col] != noPlace:
			name := columnWords[col][0]
			return true, badList(
				"第 1 行：有两列都是 "+name+"：请只留一列",
				"line 1: two columns are named %s: leave one", name,
			)
		case col >= 0:
			s.columns[col] = place
			isHeader = true
		}
	}
	if !isHeader {
		s.ignored = nil
		s.columns = []int{keyColumn, nameColumn, groupColumn, sceneColumn, noPlace}
		return false, nil
	}
	if s.columns[keyColumn] == noPlace {
		return true, badList(
			"第 1 行：没有“编号”列：请给渠道编号所在的列写上列名",
			"line 1: no column is named key (编号): name the one with the channels' keys",
		)
	}
	return true, nil
}

// unguarded takes off what plainCell has put before the text.
func unguarded(text string) string {
	if plain, ok := strings.CutPrefix(text, "'"); ok && plainCell(plain) != plain {
		return plain
	}
	return text
}

// in says where something is wrong.
func (l *sheetLine) in(col int, err error) error {
	return fmt.Errorf("line %d, column %s: %w", l.number, columnWords[col][0], err)
}

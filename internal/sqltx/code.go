package sqltx

import (
	"errors"
	"strconv"
	"strings"
)

// ErrorCode is what the database calls the error: PostgreSQL's five characters, MySQL's
// four digits, SQLite's number of one or two; "" for an error that is not the database's.
// It is for pgx, go-sql-driver/mysql and modernc.org/sqlite, and links none of them.
func ErrorCode(err error) string {
	var state interface{ SQLState() string } // pgx
	if errors.As(err, &state) {
		return state.SQLState()
	}
	var number interface{ Code() int } // modernc.org/sqlite; the low byte is the primary code
	if errors.As(err, &number) {
		return strconv.Itoa(number.Code() & 0xff)
	}
	if err == nil {
		return ""
	}

	// MySQL's is in a field of the driver's type, and in the text "Error 1213 (40001): …".
	_, text, _ := strings.Cut(err.Error(), "Error ")
	code, _, spaced := strings.Cut(text, " ")
	if !spaced {
		return ""
	}
	return strings.TrimSuffix(code, ":")
}

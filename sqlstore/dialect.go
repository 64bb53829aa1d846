package sqlstore

import (
	"strconv"
	"strings"
)

// Dialect is the SQL that a database speaks. The driver is the caller's to link.
type Dialect struct {
	name     string
	now      string // an expression: milliseconds since 1970 by the database's clock
	insert   string // INSERT that leaves a row alone which is there
	ignore   string // the end of such an INSERT
	numbered bool   // $1 instead of ?
	schema   string
}

// The dialects. Distributed engines that speak the protocol of PostgreSQL or MySQL
// take the same statements.
var (
	// SQLite is for modernc.org/sqlite, or another driver of SQLite 3.42 or later.
	// Its clock is the machine's.
	SQLite = Dialect{
		name:   "SQLite",
		now:    "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
		insert: "INSERT", ignore: " ON CONFLICT DO NOTHING",
		schema: schema("BLOB", "", ")", expiresIndex),
	}
	// PostgreSQL is for github.com/jackc/pgx/v5/stdlib.
	PostgreSQL = Dialect{
		name:   "PostgreSQL",
		now:    "CAST(FLOOR(EXTRACT(EPOCH FROM clock_timestamp()) * 1000) AS BIGINT)",
		insert: "INSERT", ignore: " ON CONFLICT DO NOTHING", numbered: true,
		schema: schema("BYTEA", "", ")", expiresIndex),
	}
	// MySQL is for github.com/go-sql-driver/mysql, with MySQL 8 or MariaDB.
	MySQL = Dialect{
		name:   "MySQL",
		now:    "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000",
		insert: "INSERT IGNORE",
		schema: schema("MEDIUMBLOB", ",\n\tINDEX wechatqr_store_expires (expires)",
			") ENGINE=InnoDB CHARACTER SET ascii COLLATE ascii_bin", ""),
	}
)

// String is the dialect's name.
func (d Dialect) String() string { return d.name }

// Schema is the statements that make the table, each ended by a semicolon and a line
// break: for those whose migrations make it. They leave a table alone that exists.
func (d Dialect) Schema() string { return d.schema }

const expiresIndex = "CREATE INDEX IF NOT EXISTS wechatqr_store_expires" +
	" ON wechatqr_store (expires);\n"

func schema(bytes, index, options, then string) string {
	return `CREATE TABLE IF NOT EXISTS wechatqr_store (
	id         VARCHAR(80) NOT NULL PRIMARY KEY,
	revision   BIGINT NOT NULL,
	data       ` + bytes + ` NOT NULL,
	ends       BIGINT NOT NULL,
	owner      ` + bytes + ` NOT NULL,
	lease_ends BIGINT NOT NULL,
	expires    BIGINT NOT NULL` + index + `
` + options + ";\n" + then
}

// rebind numbers the question marks where the dialect wants that.
func (d Dialect) rebind(query string) string {
	if !d.numbered {
		return query
	}
	var b strings.Builder
	n := 0
	for part := range strings.SplitSeq(query, "?") {
		if n > 0 {
			b.WriteString("$" + strconv.Itoa(n))
		}
		b.WriteString(part)
		n++
	}
	return b.String()
}

package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/wechatqr/wechatqr/internal/sqltx"
)

// schema is the tables. Times are Unix seconds. A hash is that of a secret which only
// its owner has.
const schema = `
CREATE TABLE IF NOT EXISTS desk_users (
	name     {text} NOT NULL PRIMARY KEY,
	role     INTEGER NOT NULL,
	password {text} NOT NULL, -- argon2id; empty until the invitation was used
	created  BIGINT NOT NULL
) {options};

-- An invitation has a user, a share link has a scope.
CREATE TABLE IF NOT EXISTS desk_links (
	hash    {text} NOT NULL PRIMARY KEY,
	title   {text} NOT NULL,
	user_name {text} NOT NULL,
	role    INTEGER NOT NULL,
	channel {text} NOT NULL,
	grp     {text} NOT NULL,
	ends    BIGINT NOT NULL,
	created BIGINT NOT NULL
) {options};

-- Of a user, or of a link.
CREATE TABLE IF NOT EXISTS desk_sessions (
	hash      {text} NOT NULL PRIMARY KEY,
	user_name {text} NOT NULL,
	link      {text} NOT NULL,
	ends      BIGINT NOT NULL
) {options};

-- Attempts to sign in, by whom or from where, in a quarter of an hour.
CREATE TABLE IF NOT EXISTS desk_attempts (
	subject {text} NOT NULL,
	quarter BIGINT NOT NULL,
	number  BIGINT NOT NULL,
	PRIMARY KEY (subject, quarter)
) {options};

-- Lists that were uploaded, as CSV, until somebody starts them.
CREATE TABLE IF NOT EXISTS desk_drafts (
	id      {text} NOT NULL PRIMARY KEY,
	title   {text} NOT NULL,
	csv     {long} NOT NULL,
	created BIGINT NOT NULL
) {options};

-- What makes the codes of many channels, until 90 days after it was made or, if it has not
-- ended then, until it has. lease is until when the owner works on it.
CREATE TABLE IF NOT EXISTS desk_jobs (
	id        {text} NOT NULL PRIMARY KEY,
	title     {text} NOT NULL,
	made_by   {text} NOT NULL,
	created   BIGINT NOT NULL,
	ended     INTEGER NOT NULL,
	resume_at BIGINT NOT NULL,
	problem   {text} NOT NULL,
	owner     {text} NOT NULL,
	lease     BIGINT NOT NULL
) {options};

CREATE TABLE IF NOT EXISTS desk_job_rows (
	job     {text} NOT NULL,
	number  INTEGER NOT NULL,
	channel {text} NOT NULL,
	title   {text} NOT NULL,
	grp     {text} NOT NULL,
	made    INTEGER NOT NULL,
	problem {text} NOT NULL,
	PRIMARY KEY (job, number)
) {options};

-- The last events, for the pages of every process.
CREATE TABLE IF NOT EXISTS desk_live (
	stored   BIGINT NOT NULL,
	id       {text} NOT NULL,
	happened BIGINT NOT NULL,
	kind     {text} NOT NULL,
	channel  {text} NOT NULL,
	title    {text} NOT NULL,
	grp      {text} NOT NULL,
	PRIMARY KEY (stored, id)
) {options};

CREATE TABLE IF NOT EXISTS desk_welcomes (
	channel {text} NOT NULL PRIMARY KEY,
	content {long} NOT NULL
) {options};

-- What was written at a day of a channel, with what was spent, in the smallest unit.
CREATE TABLE IF NOT EXISTS desk_notes (
	channel {text} NOT NULL,
	id      {text} NOT NULL,
	day     {text} NOT NULL, -- 2006-01-02
	content {text} NOT NULL,
	spent   BIGINT NOT NULL,
	created BIGINT NOT NULL,
	PRIMARY KEY (channel, id)
) {options};

-- Who does what one process at a time may do, until the lease ends.
CREATE TABLE IF NOT EXISTS desk_leases (
	task  {text} NOT NULL PRIMARY KEY,
	owner {text} NOT NULL,
	ends  BIGINT NOT NULL
) {options};

-- The tag that who comes by the channel gets.
CREATE TABLE IF NOT EXISTS desk_tags (
	channel {text} NOT NULL PRIMARY KEY,
	tag     {text} NOT NULL
) {options};

-- Who is still to get a tag, for 48 hours at most: the only openids in the database.
CREATE TABLE IF NOT EXISTS desk_outbox (
	openid   {text} NOT NULL,
	tag      {text} NOT NULL,
	added    BIGINT NOT NULL,
	due      BIGINT NOT NULL,
	attempts INTEGER NOT NULL,
	problem  {text} NOT NULL, -- of the last attempt
	PRIMARY KEY (openid, tag)
) {options};

-- Where alerts are sent. Whoever has address and secret can write to the group.
CREATE TABLE IF NOT EXISTS desk_webhooks (
	id        {text} NOT NULL PRIMARY KEY,
	title     {text} NOT NULL,
	kind      {text} NOT NULL,
	address   {long} NOT NULL,
	secret    {text} NOT NULL,
	created   BIGINT NOT NULL,
	result    {text} NOT NULL, -- of the last message; empty: it arrived
	result_at BIGINT NOT NULL
) {options};

-- The alerts that are raised, by rule and the channel's key, empty for the account.
CREATE TABLE IF NOT EXISTS desk_alerts (
	rule    {text} NOT NULL,
	channel {text} NOT NULL,
	since   BIGINT NOT NULL,
	PRIMARY KEY (rule, channel)
) {options};

-- Messages that have not arrived, for a day at most.
CREATE TABLE IF NOT EXISTS desk_messages (
	id       {text} NOT NULL PRIMARY KEY,
	webhook  {text} NOT NULL,
	created  BIGINT NOT NULL,
	number   INTEGER NOT NULL, -- of those of one instant
	due      BIGINT NOT NULL,
	attempts INTEGER NOT NULL,
	body     {long} NOT NULL
) {options};

-- Runs that compared the ledger with WeChat's list of followers.
CREATE TABLE IF NOT EXISTS desk_reconciles (
	id      {text} NOT NULL PRIMARY KEY,
	began   BIGINT NOT NULL,
	ended   BIGINT NOT NULL,
	listed  BIGINT NOT NULL,
	found   BIGINT NOT NULL,
	lost    BIGINT NOT NULL,
	unknown_lost BIGINT NOT NULL DEFAULT 0,
	problem {text} NOT NULL
) {options};

-- How many did not get a tag, and why.
CREATE TABLE IF NOT EXISTS desk_tag_failures (
	tag     {text} NOT NULL,
	problem {text} NOT NULL,
	number  BIGINT NOT NULL,
	latest  BIGINT NOT NULL,
	PRIMARY KEY (tag, problem)
) {options};
`

// migrate makes the tables that are not there, and the column that those of before lack.
func (s *Store) migrate(ctx context.Context) error {
	replace := strings.NewReplacer("{text}", "TEXT", "{long}", "TEXT", "{options}", "")
	if s.isMySQL() {
		replace = strings.NewReplacer("{text}", "VARCHAR(255)", "{long}", "MEDIUMTEXT", "{options}",
			"ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
	}
	for statement := range strings.SplitSeq(replace.Replace(schema), ";\n") {
		if strings.TrimSpace(statement) == "" {
			continue
		}
		if err := s.makeTable(ctx, statement); err != nil {
			return err
		}
	}
	return s.addColumn(ctx, "desk_reconciles", "unknown_lost")
}

// addColumn adds a number, unless it is there: another process may be adding it.
func (s *Store) addColumn(ctx context.Context, table, column string) error {
	isThere := func() bool {
		var n int
		return s.row(ctx, []any{&n}, "SELECT COUNT("+column+") FROM "+table) == nil
	}
	if isThere() {
		return nil
	}
	_, err := s.exec(ctx, "ALTER TABLE "+table+" ADD COLUMN "+column+" BIGINT NOT NULL DEFAULT 0")
	if err != nil && isThere() {
		return nil
	}
	return err
}

const maxAttempts = 20

// alreadyThere are PostgreSQL's codes for a table, or its type, that exists.
var alreadyThere = []string{"23505", "42710", "42P07"}

// makeTable tries again when another process makes the table at the same moment: in spite
// of IF NOT EXISTS PostgreSQL fails then.
func (s *Store) makeTable(ctx context.Context, statement string) error {
	for attempt := 1; ; attempt++ {
		_, err := s.db.ExecContext(ctx, statement)
		if !slices.Contains(alreadyThere, sqltx.ErrorCode(err)) || attempt == maxAttempts {
			return err
		}
		time.Sleep(time.Duration(attempt) * 5 * time.Millisecond)
	}
}

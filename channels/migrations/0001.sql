-- {hash}, {text} and {options} are the dialect's. Times are Unix seconds, 0 for never.

CREATE TABLE channels_settings (
	name  {text} NOT NULL PRIMARY KEY,
	value {text} NOT NULL
) {options};

-- What transactions lock (rules) and numbers that are handed out in blocks (numbers).
CREATE TABLE channels_counters (
	name  {text} NOT NULL PRIMARY KEY,
	value BIGINT NOT NULL
) {options};

INSERT INTO channels_counters (name, value) VALUES ('rules', 0), ('numbers', 0);

CREATE TABLE channels_channels (
	id         BIGINT NOT NULL PRIMARY KEY,
	channel    {text} NOT NULL UNIQUE,
	title      {text} NOT NULL,
	grp        {text} NOT NULL,
	retired    BIGINT NOT NULL,
	merged     BIGINT NOT NULL -- the id of the channel that has its history, or 0
) {options};

-- The text of each scene that was adopted or made; scene is its number. made_for
-- is the channel that Ensure made it for, NULL if it was adopted. Until WeChat has
-- made it, ticket is empty.
CREATE TABLE channels_codes (
	scene    BIGINT NOT NULL PRIMARY KEY,
	content  {text} NOT NULL,
	ticket   {text} NOT NULL,
	picture  {text} NOT NULL,
	made_for BIGINT
) {options};

CREATE UNIQUE INDEX channels_codes_made_for ON channels_codes (made_for);

-- Whose a scene is from an instant on.
CREATE TABLE channels_assignments (
	scene   BIGINT NOT NULL,
	since   BIGINT NOT NULL,
	channel BIGINT NOT NULL,
	PRIMARY KEY (scene, since)
) {options};

CREATE INDEX channels_assignments_channel ON channels_assignments (channel);

-- hash is NULL for who was forgotten. Several lives of one openid have one hash.
CREATE TABLE channels_people (
	id      BIGINT NOT NULL PRIMARY KEY,
	hash    {hash},
	life    INTEGER NOT NULL,
	since   BIGINT NOT NULL,
	expires BIGINT NOT NULL -- when hash goes
) {options};

CREATE UNIQUE INDEX channels_people_hash ON channels_people (hash, life);

CREATE INDEX channels_people_expires ON channels_people (expires);

-- flags: 1 late, 2 follower.
CREATE TABLE channels_events (
	person   BIGINT NOT NULL,
	happened BIGINT NOT NULL,
	kind     SMALLINT NOT NULL,
	scene    BIGINT NOT NULL,
	ticket   BIGINT NOT NULL,
	channel  BIGINT NOT NULL,
	flags    SMALLINT NOT NULL,
	PRIMARY KEY (person, happened, kind, scene, ticket)
) {options};

CREATE INDEX channels_events_channel ON channels_events (channel, happened, person, kind);

CREATE INDEX channels_events_happened ON channels_events (happened, kind, channel, person);

CREATE TABLE channels_follows (
	person  BIGINT NOT NULL,
	began   BIGINT NOT NULL,
	channel BIGINT NOT NULL,
	how     SMALLINT NOT NULL,
	ended   BIGINT NOT NULL,
	ending  SMALLINT NOT NULL,
	PRIMARY KEY (person, began)
) {options};

CREATE INDEX channels_follows_began ON channels_follows (began, channel, ended, ending);

CREATE TABLE channels_hours (
	channel        BIGINT NOT NULL,
	hour           BIGINT NOT NULL,
	scans          BIGINT NOT NULL,
	follower_scans BIGINT NOT NULL,
	begun          BIGINT NOT NULL,
	returning_     BIGINT NOT NULL,
	lost           BIGINT NOT NULL,
	imported       BIGINT NOT NULL,
	forgotten      BIGINT NOT NULL,
	PRIMARY KEY (channel, hour)
) {options};

CREATE INDEX channels_hours_hour ON channels_hours (hour);

-- Persons whose follows a changed assignment may have moved.
CREATE TABLE channels_stale (
	person BIGINT NOT NULL PRIMARY KEY
) {options};

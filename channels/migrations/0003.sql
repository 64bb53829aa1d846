-- Numbers are kept by person, so that no two persons share a row, and summed up
-- in one row of each channel. {on} is " ON" or begins a comment, as the dialect wants.

DROP TABLE IF EXISTS channels_hours;

-- What a person did in an hour, a row for each channel: hour is Unix hours. The
-- follows that were quick losses count in the hour in which they began.
CREATE TABLE channels_hours (
	hour           BIGINT NOT NULL,
	channel        BIGINT NOT NULL,
	person         BIGINT NOT NULL,
	scans          INTEGER NOT NULL,
	follower_scans INTEGER NOT NULL,
	begun          INTEGER NOT NULL,
	returning_     INTEGER NOT NULL,
	lost           INTEGER NOT NULL,
	imported       INTEGER NOT NULL,
	forgotten      INTEGER NOT NULL,
	quick_lost     INTEGER NOT NULL,
	PRIMARY KEY (hour, channel, person)
) {options};

CREATE INDEX channels_hours_channel ON channels_hours (channel, hour, person, scans);

INSERT INTO channels_hours (hour, channel, person, scans, follower_scans, begun, returning_,
	lost, imported, forgotten, quick_lost)
SELECT hour, channel, person, SUM(scans), SUM(follower_scans), SUM(begun), SUM(returning_),
	SUM(lost), SUM(imported), SUM(forgotten), SUM(quick_lost)
FROM (
	SELECT (happened - happened % 3600) / 3600 AS hour, channel, person, 1 AS scans,
		CASE WHEN flags IN (2, 3) THEN 1 ELSE 0 END AS follower_scans, 0 AS begun,
		0 AS returning_, 0 AS lost, 0 AS imported, 0 AS forgotten, 0 AS quick_lost
	FROM channels_events WHERE kind = 2 OR (kind = 1 AND scene <> 0)
	UNION ALL
	SELECT (began - began % 3600) / 3600, channel, person, 0, 0,
		CASE WHEN how = 1 THEN 1 ELSE 0 END, CASE WHEN how = 2 THEN 1 ELSE 0 END, 0,
		CASE WHEN how = 3 THEN 1 ELSE 0 END, 0,
		CASE WHEN how <> 3 AND ending = 1 AND ended - began <= 86400 THEN 1 ELSE 0 END
	FROM channels_follows
	UNION ALL
	SELECT (ended - ended % 3600) / 3600, channel, person, 0, 0, 0, 0,
		CASE WHEN ending = 3 THEN 0 ELSE 1 END, 0, CASE WHEN ending = 3 THEN 1 ELSE 0 END, 0
	FROM channels_follows WHERE ending <> 0
) acts GROUP BY hour, channel, person;

-- The sums of channels_hours over all of its time, and the persons with a scan:
-- scanners are those of the channel, account_scanners each of them in one of their
-- channels only, the lowest, so that they add up to those of the account.
DROP TABLE IF EXISTS channels_totals;

CREATE TABLE channels_totals (
	channel          BIGINT NOT NULL PRIMARY KEY,
	scans            BIGINT NOT NULL,
	follower_scans   BIGINT NOT NULL,
	begun            BIGINT NOT NULL,
	returning_       BIGINT NOT NULL,
	lost             BIGINT NOT NULL,
	imported         BIGINT NOT NULL,
	forgotten        BIGINT NOT NULL,
	quick_lost       BIGINT NOT NULL,
	scanners         BIGINT NOT NULL,
	account_scanners BIGINT NOT NULL
) {options};

INSERT INTO channels_totals (channel, scans, follower_scans, begun, returning_, lost, imported,
	forgotten, quick_lost, scanners, account_scanners)
SELECT channel, SUM(scans), SUM(follower_scans), SUM(begun), SUM(returning_), SUM(lost),
	SUM(imported), SUM(forgotten), SUM(quick_lost), SUM(scanners), SUM(account_scanners)
FROM (
	SELECT channel, SUM(scans) AS scans, SUM(follower_scans) AS follower_scans,
		SUM(begun) AS begun, SUM(returning_) AS returning_, SUM(lost) AS lost,
		SUM(imported) AS imported, SUM(forgotten) AS forgotten, SUM(quick_lost) AS quick_lost,
		COUNT(DISTINCT CASE WHEN scans > 0 THEN person END) AS scanners, 0 AS account_scanners
	FROM channels_hours GROUP BY channel
	UNION ALL
	SELECT channel, 0, 0, 0, 0, 0, 0, 0, 0, 0, COUNT(*)
	FROM (SELECT MIN(channel) AS channel FROM channels_hours WHERE scans > 0 GROUP BY person) lowest
	GROUP BY channel
) sums GROUP BY channel;

-- What channels_hours is asked instead.
DROP INDEX channels_events_channel{on} channels_events;

DROP INDEX channels_events_happened{on} channels_events;

DROP INDEX channels_follows_began{on} channels_follows;

-- A person is known by 128 bits of the HMAC, a ticket by 31 bits.
UPDATE channels_people SET hash = SUBSTR(hash, 1, 16) WHERE hash IS NOT NULL;

UPDATE channels_events SET ticket = (ticket >> 31) + 1
WHERE kind IN (1, 2) AND ticket > 4294967296;

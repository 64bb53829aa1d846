-- What the host reports that people did; act is the number of the act's id. It stands in
-- channels_events too, as kind 8 with the act in the place of the ticket.
CREATE TABLE channels_conversions (
	act      BIGINT NOT NULL PRIMARY KEY,
	happened BIGINT NOT NULL,
	person   BIGINT NOT NULL,
	name     {text} NOT NULL,
	value    BIGINT NOT NULL
) {options};

CREATE INDEX channels_conversions_happened ON channels_conversions (happened);

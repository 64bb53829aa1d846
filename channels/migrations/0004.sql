-- What is written so that nobody else does, where a cluster looks at nothing else: the
-- revision by who folds the person, one of rules0 to rules15 by who needs the
-- assignments as they are, and all of them by who changes these.

ALTER TABLE channels_people ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;

INSERT INTO channels_counters (name, value) VALUES
	('rules0', 0), ('rules1', 0), ('rules2', 0), ('rules3', 0),
	('rules4', 0), ('rules5', 0), ('rules6', 0), ('rules7', 0),
	('rules8', 0), ('rules9', 0), ('rules10', 0), ('rules11', 0),
	('rules12', 0), ('rules13', 0), ('rules14', 0), ('rules15', 0);

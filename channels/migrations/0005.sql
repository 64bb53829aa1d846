-- Events of kind 9 may come from now on: a version that does not know them, and would
-- leave their follows out, refuses the database.
UPDATE channels_counters SET value = value WHERE name = 'rules';

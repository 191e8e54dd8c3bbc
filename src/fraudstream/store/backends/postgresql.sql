-- What only PostgreSQL has, a statement a line, run when a store is created or migrated.

CREATE TABLE IF NOT EXISTS alert_words (seq BIGINT PRIMARY KEY REFERENCES alerts (seq), words TSVECTOR NOT NULL)
CREATE INDEX IF NOT EXISTS alert_words_by_word ON alert_words USING gin (words)

-- The sort orders, without the other columns: an index row has at most 2,700 bytes.
CREATE INDEX IF NOT EXISTS alerts_by_commit ON alerts (outcome, status, seq DESC)
CREATE INDEX IF NOT EXISTS alerts_by_score ON alerts (outcome, status, score DESC NULLS LAST, seq DESC)
CREATE INDEX IF NOT EXISTS alerts_by_amount ON alerts (outcome, status, amount DESC NULLS LAST, seq DESC)
CREATE INDEX IF NOT EXISTS alerts_by_loss ON alerts (outcome, status, expected_loss DESC NULLS LAST, seq DESC)
CREATE INDEX IF NOT EXISTS alerts_by_assignee ON alerts (assignee) WHERE assignee IS NOT NULL

CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the record of changes is append-only' USING ERRCODE = 'restrict_violation'; END $$
CREATE OR REPLACE TRIGGER changes_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON changes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
CREATE OR REPLACE TRIGGER change_items_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON change_items FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()

-- What only SQLite has, a statement a line, run when a store is created or migrated.

-- The text is already tokenized (`full_text.py`): tokens are folded and separated by spaces, and stay whole here.
CREATE VIRTUAL TABLE IF NOT EXISTS alert_words USING fts5(words, content='', tokenize="unicode61 remove_diacritics 0 categories 'L* N* M* P* S* Co'")

-- The sort orders, each with every column that is filtered by: a page reads only the alerts that it shows.
CREATE INDEX IF NOT EXISTS alerts_by_commit ON alerts (outcome, status, seq, produced_us, score, amount, assignee, model_id, schema_id, topic, column_set)
CREATE INDEX IF NOT EXISTS alerts_by_score ON alerts (outcome, status, score, seq, produced_us, amount, assignee, model_id, schema_id, topic, column_set)
CREATE INDEX IF NOT EXISTS alerts_by_amount ON alerts (outcome, status, amount, seq, produced_us, score, assignee, model_id, schema_id, topic, column_set)
CREATE INDEX IF NOT EXISTS alerts_by_loss ON alerts (outcome, status, expected_loss, seq, produced_us, score, amount, assignee, model_id, schema_id, topic, column_set)

CREATE TRIGGER IF NOT EXISTS changes_no_update BEFORE UPDATE ON changes BEGIN SELECT RAISE(ABORT, 'the record of changes is append-only'); END
CREATE TRIGGER IF NOT EXISTS changes_no_delete BEFORE DELETE ON changes BEGIN SELECT RAISE(ABORT, 'the record of changes is append-only'); END
CREATE TRIGGER IF NOT EXISTS change_items_no_update BEFORE UPDATE ON change_items BEGIN SELECT RAISE(ABORT, 'the record of changes is append-only'); END
CREATE TRIGGER IF NOT EXISTS change_items_no_delete BEFORE DELETE ON change_items BEGIN SELECT RAISE(ABORT, 'the record of changes is append-only'); END

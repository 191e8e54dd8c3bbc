-- What only SQLite has, a statement a line, run when a store is created.

-- The text is already tokenized (`full_text.py`): tokens are folded and separated by spaces, and stay whole here.
CREATE VIRTUAL TABLE alert_words USING fts5(words, content='', tokenize="unicode61 remove_diacritics 0 categories 'L* N* M* P* S* Co'")

CREATE TRIGGER changes_no_update BEFORE UPDATE ON changes BEGIN SELECT RAISE(ABORT, 'the record of changes is append-only'); END
CREATE TRIGGER changes_no_delete BEFORE DELETE ON changes BEGIN SELECT RAISE(ABORT, 'the record of changes is append-only'); END
CREATE TRIGGER change_items_no_update BEFORE UPDATE ON change_items BEGIN SELECT RAISE(ABORT, 'the record of changes is append-only'); END
CREATE TRIGGER change_items_no_delete BEFORE DELETE ON change_items BEGIN SELECT RAISE(ABORT, 'the record of changes is append-only'); END

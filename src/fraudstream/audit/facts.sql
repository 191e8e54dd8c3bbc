-- The facts of an audit; the columns in braces are the members of the named tuples in facts.py.
CREATE TABLE entries (
  entry_id PRIMARY KEY, kind, topic_id, partition, from_offset, until_offset, records, clear, alert, unscorable,
  dead_letter, without_transaction, additional, model_id, revision, threshold, aliases, envelope, source,
  committed_us, run, held, verified, is_pruned, is_changed
);
CREATE TABLE outputs ({outputs});
CREATE TABLE store_rows ({store_rows});
CREATE TABLE marks (partition, begin, until);
-- What was scored again, and with which outcomes, if they are not clear.
CREATE TABLE spans (run, partition, from_offset, until_offset);
CREATE TABLE rescores (run, partition, "offset", outcome, score);

-- The facts of an audit; the columns in braces are the members of the named tuples in facts.py.
CREATE TABLE entries (
  entry_id PRIMARY KEY, kind, topic_id, partition, from_offset, until_offset, records, clear, alert, unscorable,
  dead_letter, without_transaction, additional, model_id, revision, threshold, aliases, envelope, source,
  committed_us, run, verified, is_pruned, is_changed
);
CREATE TABLE outputs ({outputs});
CREATE TABLE store_rows ({store_rows});
CREATE TABLE rescores (run, partition, "offset", outcome, score);

-- Indexes and views for the comparisons, made once all facts are in; `audited` has the name of the input topic.
CREATE INDEX entries_by_offset ON entries (partition, from_offset);
CREATE INDEX rescores_by_offset ON rescores (run, partition, "offset");
CREATE INDEX outputs_by_id ON outputs (id);
CREATE INDEX store_rows_by_base ON store_rows (base);
CREATE TABLE positions AS
  SELECT partition, "offset", id, outcome, model_id, revision, min(score) AS least, max(score) AS most FROM outputs
  WHERE topic = (SELECT name FROM audited) GROUP BY partition, "offset", id, outcome, model_id, revision;
CREATE INDEX positions_by_offset ON positions (partition, "offset");
CREATE VIEW matched AS
  SELECT e.entry_id, e.source, p.rowid AS position, p.partition, p."offset", p.outcome, p.model_id, p.revision,
    -- A dead letter is one regardless of the model.
    p.model_id IS NULL OR (p.model_id = e.model_id AND p.revision = e.revision) AS is_own
  FROM entries e CROSS JOIN positions p
  ON p.partition = e.partition AND p."offset" >= e.from_offset AND p."offset" < e.until_offset
  WHERE e.kind = 'batch';
-- Its first records may have been read by the former envelope before a restart.
UPDATE entries SET is_changed = 1 FROM (
  SELECT entry_id, envelope <> lag(envelope, 1, envelope) OVER (PARTITION BY partition ORDER BY from_offset) AS differs
  FROM entries WHERE kind = 'batch') AS batches
WHERE batches.entry_id = entries.entry_id AND differs;

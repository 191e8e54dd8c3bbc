-- Indexes and views for the comparisons, made once all facts are in; `audited` has one row about the input topic.

-- Entries of an earlier topic of its name count only where they account for a loss.
CREATE TABLE former_losses AS
  SELECT topic_id, partition, from_offset, until_offset FROM entries
  WHERE topic_id <> (SELECT topic_id FROM audited) AND kind = 'loss';
DELETE FROM entries WHERE topic_id <> (SELECT topic_id FROM audited);

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

-- Of the ledger's entries against each other.
CREATE VIEW inconsistent AS
  SELECT partition, from_offset, until_offset, records,
    clear + alert + unscorable + dead_letter + without_transaction - additional AS total FROM entries
  WHERE kind = 'batch' AND (records <> total OR records > until_offset - from_offset);

-- Of the ledger against the output topics: for each entry what it counts, what is there of its own revision, and of
-- others; in each case alerts, unscorable transactions and dead letters.
CREATE VIEW counted AS
  SELECT e.partition, e.from_offset, e.until_offset, e.source, e.is_pruned, e.is_changed,
    e.alert, e.unscorable, e.dead_letter,
    coalesce(sum(m.outcome = 'alert' AND m.is_own), 0), coalesce(sum(m.outcome = 'unscorable' AND m.is_own), 0),
    coalesce(sum(m.outcome = 'dead_letter'), 0),
    coalesce(sum(m.outcome = 'alert' AND NOT m.is_own), 0),
    coalesce(sum(m.outcome = 'unscorable' AND NOT m.is_own), 0), 0
  FROM entries e LEFT JOIN matched m ON m.entry_id = e.entry_id
  WHERE e.kind = 'batch' AND NOT e.verified GROUP BY e.entry_id;
CREATE VIEW superseded AS
  SELECT partition, outcome, model_id, revision, count(*), min("offset") AS least, max("offset") AS most FROM (
    SELECT partition, "offset", outcome, model_id, revision FROM matched GROUP BY position HAVING NOT max(is_own)
  ) GROUP BY 1, 2, 3, 4;

-- Of the output topics against the store. An unscorable payment that a later revision scored as fraud is in the
-- alert's row; the reverse would lose an alert.
CREATE VIEW not_stored AS
  SELECT max(s.relayed), min(s.on_topic), min(s.on_partition) AS on_partition, min(s.on_offset) AS on_offset,
    min(s.produced_us), s.id, s.outcome, s.topic, s.partition, s."offset"
  FROM outputs s WHERE NOT EXISTS (
    SELECT 1 FROM store_rows k WHERE k.base = s.id AND k.digest = s.digest
    AND (k.outcome = s.outcome OR s.outcome = 'unscorable'))
  GROUP BY s.id, s.outcome, s.digest;
CREATE VIEW extra AS
  SELECT k.id, k.outcome, k.partition, k."offset" FROM store_rows k
  WHERE k.topic = (SELECT name FROM audited) AND NOT EXISTS (SELECT 1 FROM outputs s WHERE s.id = k.base);
CREATE VIEW stored_twice AS
  SELECT outcome, partition, "offset", count(*), group_concat(id, ', '), count(*) - max(1, (
    SELECT count(DISTINCT p.id) FROM positions p WHERE p.partition = store_rows.partition
    AND p."offset" = store_rows."offset" AND p.outcome = store_rows.outcome)) AS surplus
  FROM store_rows WHERE topic = (SELECT name FROM audited) AND "offset" IS NOT NULL
  GROUP BY outcome, partition, "offset" HAVING surplus > 0;
CREATE VIEW conflicts AS
  SELECT id, base, coalesce(topic, ''), partition, "offset" FROM store_rows WHERE is_conflict;

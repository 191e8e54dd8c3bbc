-- Indexes and views for the comparisons, made once all facts are in; `audited` has one row about the input topic.
-- The views of findings have the members of `Finding`.

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
  WHERE topic = (SELECT topic FROM audited) GROUP BY partition, "offset", id, outcome, model_id, revision;
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

CREATE VIEW losses AS SELECT partition, from_offset, until_offset FROM entries WHERE kind = 'loss';
-- `reached` is the offset up to which entries that begin before it have accounted for the partition.
CREATE TABLE batches AS
  SELECT partition, from_offset, until_offset, records, clear, alert, unscorable, dead_letter, without_transaction,
    additional, coalesce(max(until_offset) OVER (PARTITION BY partition ORDER BY from_offset, until_offset DESC
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS reached
  FROM entries WHERE kind = 'batch';
-- Where entries overlap, the first one counts for the part it covers; nothing is counted twice.
CREATE VIEW outcomes AS
  SELECT sum(clear), sum(alert), sum(unscorable), sum(dead_letter), sum(without_transaction), sum(additional)
  FROM batches WHERE from_offset >= reached AND partition IN (SELECT partition FROM marks) HAVING count(*) > 0;
CREATE VIEW dense AS SELECT * FROM batches WHERE records = until_offset - from_offset;
-- How many offsets of the union of its entries hold no record, by partition.
CREATE VIEW shortfalls AS
  SELECT partition, sum(min(until_offset - from_offset - records, until_offset - max(from_offset, reached))) AS n
  FROM batches WHERE until_offset > reached GROUP BY partition;
CREATE TABLE names AS SELECT column1 AS outcome, column2 AS name
  FROM (VALUES ('alert', 'alert'), ('unscorable', 'unscorable row'), ('dead_letter', 'dead letter'));
-- What each entry counts of each outcome.
CREATE VIEW counts AS
  SELECT e.*, n.outcome, n.name,
    CASE n.outcome WHEN 'alert' THEN e.alert WHEN 'unscorable' THEN e.unscorable ELSE e.dead_letter END AS expected
  FROM entries e CROSS JOIN names n WHERE e.kind = 'batch' ORDER BY e.partition, e.from_offset, e.entry_id, n.rowid;

-- Of the ledger's entries against each other, and losses of an earlier topic: making it anew recovers nothing.
CREATE VIEW ledger_findings AS
  SELECT 'unaccounted', printf('the entry counts %,d records, %,d outcomes and %,d offsets', records, total, offsets),
    topic, partition, from_offset, until_offset, max(1, abs(records - total), records - offsets)
  FROM audited, (
    SELECT partition, from_offset, until_offset, records, until_offset - from_offset AS offsets,
      clear + alert + unscorable + dead_letter + without_transaction - additional AS total FROM batches
  ) WHERE records <> total OR records > offsets
  UNION ALL
  SELECT 'lost', 'deleted before they were read, of the earlier topic with the id ' || l.topic_id,
    topic, partition, from_offset, until_offset, until_offset - from_offset FROM audited, former_losses l
  ORDER BY 4, 5;

-- Of the ledger against the output topics, for each entry that was not scored again. Outcomes after the last entry
-- belong to the open batch and are ignored.
CREATE VIEW output_findings AS
  SELECT CASE WHEN actual < expected THEN 'missing' WHEN former OR is_changed THEN 'superseded' ELSE 'doubled' END,
    CASE WHEN actual < expected
    THEN printf('%,d of the %,d %ss that the ledger counts there are on no topic', expected - actual, expected, name)
    ELSE printf('%,d %ss, where the ledger counts %,d', actual, name, expected) END,
    topic, partition, from_offset, until_offset, abs(expected - actual)
  FROM audited, (
    -- Counted again after a crash: the query may have scored with the previous deployment.
    SELECT *, iif(source = 'scored_again', max(own, min(own + others, expected)), own) AS actual FROM (
      SELECT c.*, coalesce(sum(m.is_own), 0) AS own, coalesce(sum(NOT m.is_own), 0) AS others
      FROM counts c LEFT JOIN matched m ON m.entry_id = c.entry_id AND m.outcome = c.outcome
      WHERE NOT c.verified GROUP BY c.entry_id, c.outcome)
  )
  -- A dead letter is never pruned.
  WHERE actual > expected OR (actual < expected AND NOT (is_pruned AND outcome <> 'dead_letter'))
  ORDER BY partition, from_offset;

-- Alerts and unscorable transactions in the ledger's ranges, of a revision that no entry there names.
CREATE VIEW superseded_findings AS
  SELECT 'superseded', printf('%,d %ss of %s, revision %s, were scored again by another', n, name, model_id, revision),
    topic, partition, least, most + 1, n
  FROM audited, (
    SELECT partition, outcome, model_id, revision, count(*) AS n, min("offset") AS least, max("offset") AS most FROM (
      SELECT partition, "offset", outcome, model_id, revision FROM matched GROUP BY position HAVING NOT max(is_own)
    ) GROUP BY 1, 2, 3, 4
  ) JOIN names USING (outcome) ORDER BY partition, least;

-- Of the output topics against the store. An unscorable payment that a later revision scored as fraud is in the
-- alert's row; the reverse would lose an alert.
CREATE TABLE not_stored AS
  SELECT max(s.relayed) AS is_relayed, min(s.on_topic) AS on_topic, min(s.on_partition) AS on_partition,
    min(s.on_offset) AS on_offset, s.id, s.outcome, s.topic, s.partition, s."offset",
    (s.topic || s.partition || s."offset") IS NOT NULL AS is_known,
    s.outcome <> 'dead_letter' AND min(s.produced_us) < (SELECT pruned_before_us FROM audited) AS is_pruned
  FROM outputs s WHERE NOT EXISTS (
    SELECT 1 FROM store_rows k WHERE k.base = s.id AND k.digest = s.digest
    AND (k.outcome = s.outcome OR s.outcome = 'unscorable'))
  GROUP BY s.id, s.outcome, s.digest;
CREATE VIEW store_findings AS
  SELECT 'missing', printf('the %s %s is on %s[%d] %d but not in the store', name, id, on_topic, on_partition, on_offset),
    iif(is_known, topic, on_topic), iif(is_known, partition, on_partition), iif(is_known, "offset", on_offset),
    iif(is_known, "offset", on_offset) + 1, 1
  FROM not_stored JOIN names USING (outcome) WHERE is_relayed AND NOT is_pruned
  UNION ALL
  SELECT iif(is_beyond, 'beyond', 'extra'),
    printf('the %s %s is in the store but on no topic%s', name, id, iif(is_beyond, ', beyond its end (' || until || ')', '')),
    topic, iif("offset" IS NULL, NULL, partition), "offset", "offset" + 1, 1
  FROM (
    SELECT k.*, coalesce(m.until, 0) AS until,
      NOT a.former AND k.partition IS NOT NULL AND k."offset" >= coalesce(m.until, 0) AS is_beyond
    FROM audited a JOIN store_rows k ON k.topic = a.topic LEFT JOIN marks m ON m.partition = k.partition
    WHERE NOT EXISTS (SELECT 1 FROM outputs s WHERE s.id = k.base)
  ) JOIN names USING (outcome)
  UNION ALL
  SELECT iif(former, 'extra', 'doubled'), n || ' rows of the store for one ' || name || ': ' || ids,
    topic, partition, "offset", "offset" + 1, surplus
  FROM audited, (
    SELECT outcome, partition, "offset", count(*) AS n, group_concat(id, ', ') AS ids, count(*) - max(1, (
      SELECT count(DISTINCT p.id) FROM positions p WHERE p.partition = store_rows.partition
      AND p."offset" = store_rows."offset" AND p.outcome = store_rows.outcome)) AS surplus
    FROM store_rows WHERE topic = (SELECT topic FROM audited) AND "offset" IS NOT NULL
    GROUP BY outcome, partition, "offset" HAVING surplus > 0
  ) JOIN names USING (outcome)
  UNION ALL
  SELECT 'conflicts', 'another payment with the id ' || base || ' is stored as ' || id, coalesce(topic, ''),
    partition, "offset", "offset" + 1, 1
  FROM store_rows WHERE is_conflict
  ORDER BY 4, 5;

-- Views for the comparison with the records that were scored again.

-- Runs: the deployments, envelopes and sources that entries were counted with.
UPDATE entries SET run = numbered.run FROM (
  SELECT entry_id, dense_rank() OVER (ORDER BY revision, model_id, threshold, aliases, envelope, source) AS run
  FROM entries WHERE kind = 'batch') AS numbered
WHERE numbered.entry_id = entries.entry_id;
CREATE TABLE runs AS
  SELECT DISTINCT run, model_id, revision, threshold, aliases, envelope, source FROM entries WHERE run IS NOT NULL;
-- What Kafka still has of each entry.
CREATE VIEW retained AS
  SELECT e.run, e.entry_id, e.partition, max(e.from_offset, m.begin) AS from_offset,
    min(e.until_offset, m.until) AS until_offset, e.records,
    e.from_offset >= m.begin AND e.until_offset <= m.until AS is_whole
  FROM entries e JOIN marks m USING (partition) WHERE e.run IS NOT NULL ORDER BY e.partition, e.from_offset;

CREATE VIEW deep_findings AS
  SELECT 'missing', printf('is %s%s by %s, revision %s, but on no topic', a.outcome,
      iif(max(a.score) IS NULL, '', ' with the score ' || repr(max(a.score))), r.model_id, r.revision),
    topic, a.partition, a."offset", a."offset" + 1, 1
  FROM audited, rescores a JOIN runs r ON r.run = a.run
  WHERE a.outcome = 'dead_letter' OR NOT EXISTS (SELECT 1 FROM entries e WHERE e.is_pruned
    AND e.partition = a.partition AND e.from_offset <= a."offset" AND e.until_offset > a."offset")
  GROUP BY a.run, a.partition, a."offset", a.outcome HAVING count(*) > (
    SELECT count(DISTINCT p.id) FROM positions p
    WHERE p.partition = a.partition AND p."offset" = a."offset" AND p.outcome = a.outcome
    -- Counted again after a crash: the query may have scored with the previous deployment.
    AND (r.source = 'scored_again' OR p.model_id IS NULL OR (p.model_id = r.model_id AND p.revision = r.revision)))
  UNION ALL
  SELECT iif(former OR EXISTS (SELECT 1 FROM entries e WHERE e.is_changed AND e.partition = p.partition
      AND e.from_offset <= p."offset" AND e.until_offset > p."offset"), 'superseded', 'doubled'),
    printf('is %s on a topic, but not by %s, revision %s', p.outcome, r.model_id, r.revision),
    topic, p.partition, p."offset", p."offset" + 1, 1
  FROM audited, spans s JOIN runs r ON r.run = s.run CROSS JOIN positions p
  ON p.partition = s.partition AND p."offset" >= s.from_offset AND p."offset" < s.until_offset
  WHERE p.model_id IS NULL OR (p.model_id = r.model_id AND p.revision = r.revision)
  GROUP BY r.run, p.partition, p."offset", p.outcome HAVING count(DISTINCT p.id) > (
    SELECT count(*) FROM rescores a
    WHERE a.run = r.run AND a.partition = p.partition AND a."offset" = p."offset" AND a.outcome = p.outcome)
  UNION ALL
  -- Scores that differ by no more than 1e-12 are equal: a batch may sum in a different order.
  SELECT 'different', printf('the score on the topic is %s, scored again it is %s',
      repr(iif(abs(max(p.most) - a.score) > 1e-12, max(p.most), min(p.least))), repr(a.score)),
    topic, a.partition, a."offset", a."offset" + 1, 1
  FROM audited, rescores a JOIN runs r ON r.run = a.run JOIN positions p
  ON p.partition = a.partition AND p."offset" = a."offset" AND p.outcome = a.outcome
    AND p.model_id = r.model_id AND p.revision = r.revision
  GROUP BY a.rowid HAVING min(max(abs(p.least - a.score), abs(p.most - a.score))) > 1e-12
  UNION ALL
  SELECT 'unaccounted', 'the entry counts '
      || group_concat(printf('%,d %s, scored again %,d', expected, outcome, actual), '; '),
    topic, partition, from_offset, until_offset, max(abs(expected - actual))
  FROM audited, (
    SELECT c.*, (SELECT count(*) FROM rescores a WHERE a.run = c.run AND a.partition = c.partition
      AND a."offset" >= c.from_offset AND a."offset" < c.until_offset AND a.outcome = c.outcome) AS actual
    FROM counts c WHERE c.verified
  ) WHERE expected <> actual GROUP BY entry_id
  UNION ALL
  SELECT 'unaccounted', printf('the ledger counts %,d records, the topic holds %,d', records, held),
    topic, partition, from_offset, until_offset, abs(held - records)
  FROM audited, entries WHERE verified AND held <> records
  ORDER BY 4, 5;

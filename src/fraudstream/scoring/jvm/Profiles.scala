package fraudstream.history

import java.io.{BufferedInputStream, InputStreamReader}
import java.nio.charset.StandardCharsets.UTF_8
import java.nio.file.{Files, Paths}
import java.time.LocalDate
import java.util.concurrent.{ConcurrentHashMap, Executors}
import java.util.zip.GZIPInputStream
import scala.collection.mutable.ArrayBuilder
import scala.jdk.CollectionConverters._
import scala.util.control.NonFatal
import scala.util.hashing.MurmurHash3

import com.univocity.parsers.csv.{CsvParser, CsvParserSettings}
import org.apache.spark.internal.Logging

/** Daily tables of the profiles of entities, `<root>/<kind>/<date>.csv.gz`, loaded when a transaction asks for one.
 *
 *  A table is immutable. One that is missing is looked for again every 10 seconds, and that of the following day is
 *  loaded ahead, both in a thread of their own: a stream waits for a table only after a start.
 */
object Profiles extends Logging {
  private type Id = (String, String, Long)
  private val PollNanos = 10000000000L
  private val entries = new ConcurrentHashMap[Id, Entry]()
  private val loader = Executors.newSingleThreadExecutor { task => val thread = new Thread(task, "profiles"); thread.setDaemon(true); thread }

  /** The numbers of a day's entities. Ids are held as 64-bit hashes: of a million, two are equal once in 10^7 tables. */
  final class Table private[history] (val columns: Array[String], hashes: Array[Long], values: Array[Double]) {
    private val mask = Integer.highestOneBit(math.max(hashes.length, 1)) * 4 - 1
    private val slots = new Array[Int](mask + 1)
    for (row <- hashes.indices) slots(slotOf(hashes(row))) = row + 1
    private val none = new Array[Double](columns.length)
    def bytes: Long = 8L * (hashes.length + values.length) + 4L * slots.length

    /** The entity's numbers in the order of `columns`, NaN for a missing one; zeros for an entity without payments. */
    def get(id: String): Array[Double] = {
      val row = slots(slotOf(hash(id))) - 1
      if (row < 0) none else values.slice(row * columns.length, (row + 1) * columns.length)
    }

    private def slotOf(hash: Long): Int = {
      var slot = hash.toInt & mask
      while (slots(slot) != 0 && hashes(slots(slot) - 1) != hash) slot = (slot + 1) & mask
      slot
    }
  }

  private final class Entry(id: Id) {
    @volatile var table: Table = null
    @volatile var usedAt: Long = System.nanoTime()
    @volatile private var isMissing = false
    @volatile private var polledAt = usedAt - PollNanos

    /** Loads the table: at once if `waits`, unless there was none before; else in the loader's thread. */
    def look(now: Long, waits: Boolean): Unit = if (table == null) {
      if (waits && !isMissing) load()
      else if (now - polledAt >= PollNanos) { polledAt = now; loader.execute(() => load()) }
    }

    private def load(): Unit = synchronized {
      val path = Paths.get(id._1, id._2, s"${LocalDate.ofEpochDay(id._3)}.csv.gz")
      try if (table == null && Files.exists(path)) { table = read(path.toString); evict() }
      catch { case NonFatal(e) => logWarning(s"the profile table $path cannot be read: $e") }
      isMissing = table == null
    }
  }

  /** The table of a kind of entity and a day (days since 1970), or null while there is none. */
  def of(root: String, kind: String, epochDay: Long): Table = {
    val now = System.nanoTime()
    // Times of all centuries may ask for tables that there will never be.
    if (entries.size > 1000) entries.values.removeIf(_.table == null)
    val entry = entries.computeIfAbsent((root, kind, epochDay), new Entry(_))
    entry.usedAt = now
    entry.look(now, waits = true)
    entries.computeIfAbsent((root, kind, epochDay + 1), new Entry(_)).look(now, waits = false)
    entry.table
  }

  private def hash(id: String): Long =
    MurmurHash3.stringHash(id, 1).toLong << 32 | MurmurHash3.stringHash(id, 2) & 0xffffffffL

  /** Drops the tables that were not used for longest beyond an eighth of the heap, never the last two. */
  private def evict(): Unit = {
    val loaded = entries.asScala.toSeq.collect { case (id, entry) if entry.table != null => (-entry.usedAt, id, entry) }.sortBy(_._1)
    val sizes = loaded.map(_._3.table.bytes).scanLeft(0L)(_ + _).tail
    for (((_, id, entry), size) <- loaded.zip(sizes).drop(2))
      if (size > Runtime.getRuntime.maxMemory / 8) entries.remove(id, entry)
  }

  private def read(path: String): Table = {
    val settings = new CsvParserSettings()
    settings.setMaxCharsPerColumn(-1)
    settings.trimValues(false)
    settings.setEmptyValue("")
    settings.setNormalizeLineEndingsWithinQuotes(false)
    settings.getFormat.setComment('\u0000')
    val parser = new CsvParser(settings)
    val bytes = new GZIPInputStream(new BufferedInputStream(Files.newInputStream(Paths.get(path))), 1 << 16)
    try {
      parser.beginParsing(new InputStreamReader(bytes, UTF_8))
      val columns = parser.parseNext().drop(1)
      val hashes = new ArrayBuilder.ofLong; val values = new ArrayBuilder.ofDouble
      Iterator.continually(parser.parseNext()).takeWhile(_ != null).foreach { row =>
        hashes += hash(row(0))
        for (i <- 1 to columns.length) values += (if (row(i) == null) Double.NaN else row(i).toDouble)
      }
      new Table(columns, hashes.result(), values.result())
    } finally bytes.close()
  }
}

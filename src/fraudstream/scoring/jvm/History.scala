package fraudstream.history

import java.nio.charset.StandardCharsets.US_ASCII
import java.time.{Instant, LocalDate, ZoneId}
import java.util.{HashMap => JavaMap}
import scala.jdk.CollectionConverters._
import scala.util.hashing.MurmurHash3

import com.fasterxml.jackson.databind.ObjectMapper
import org.apache.spark.sql.{Column, Dataset, Row}
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.codegen.CodegenFallback
import org.apache.spark.sql.catalyst.util.GenericArrayData
import org.apache.spark.sql.fraudstream.Columns
import org.apache.spark.sql.functions.col
import org.apache.spark.sql.types._
import org.apache.spark.unsafe.Platform
import org.apache.spark.unsafe.hash.Murmur3_x86_32
import org.apache.spark.unsafe.types.UTF8String

/** Adds what an entity did before to each of its transactions: the same in a stream and in batch.
 *
 *  Reads the columns `partition`, `offset`, `timestamp`, `text` and `alert_id`, and adds those of `History.Result`.
 */
object History {
  private val Inputs = Seq("partition", "offset", "timestamp", "text", "alert_id")
  val Result: StructType = new StructType()
    .add("text_with_history", StringType).add("history", ArrayType(DoubleType))
    .add("entity_ids", ArrayType(StringType)).add("profile_date", StringType)
    .add("history_notes", IntegerType, nullable = false)

  /** With the state below `root`, which the query on it alone writes; see `StoredStates` for `base`. */
  def live(in: Dataset[Row], config: String, root: String, base: Long): Dataset[Row] =
    add(in, config, StoredStates.at(in.sparkSession, root, base))

  /** With states in memory: the rows of an entity are in one partition of the frame, and in order. */
  def batch(in: Dataset[Row], config: String): Dataset[Row] = add(in, config, () => new MemoryStates)

  private def add(in: Dataset[Row], config: String, states: () => States): Dataset[Row] = {
    val settings = new HistorySettings(config, states)
    val result = Columns.of(Inputs.map(col))(HistoryExpression(_, settings))
    in.withColumn("history_result", result).select(col("*") +: Result.names.map(name => col(s"history_result.$name")): _*)
      .drop("history_result")
  }
}

/** What an operator is made of in a task; without a text, since the configuration has a secret. */
private[history] final class HistorySettings(val config: String, val states: () => States) extends Serializable {
  override def toString: String = "history"
}

/** The operator as an expression that runs once per row and in order, since it is not deterministic. */
private[history] case class HistoryExpression(children: Seq[Expression], settings: HistorySettings)
    extends Expression with Nondeterministic with CodegenFallback {
  override def dataType: DataType = History.Result
  override def nullable: Boolean = false
  override def stateful: Boolean = true
  override protected def withNewChildrenInternal(children: IndexedSeq[Expression]): HistoryExpression = copy(children)

  @transient private var operator: Operator = _
  override protected def initializeInternal(partitionIndex: Int): Unit =
    operator = new Operator(settings.config, settings.states())
  override protected def evalInternal(input: InternalRow): Any =
    operator.next(new GenericInternalRow(children.map(_.eval(input)).toArray[Any]))
}

/** The states of the entities that a task meets. */
private[history] trait States {
  /** Called before each transaction; returns whether its entity was in another partition before. */
  def at(partition: Int, offset: Long): Unit
  def of(key: String): Events
}

private[history] final class MemoryStates extends States {
  private val events = new JavaMap[String, Events]()
  override def at(partition: Int, offset: Long): Unit = ()
  override def of(key: String): Events = events.computeIfAbsent(key, _ => Events.empty)
}

private[history] object Note {
  val NoKey = 1; val NoTime = 2; val NoAmount = 4; val Ahead = 8; val Repeated = 16; val Hot = 32
  val OtherPartition = 64; val NoProfile = 128; val OtherCurrency = 256
}

/** Computes a task's rows, one after the other. */
private[history] final class Operator(json: String, states: States) {
  private val config = new ObjectMapper().readTree(json)
  private val transaction = new Transaction(config)
  private val features = new Features(config)
  private val kinds = config.get("entities").asScala.map(_.get("kind").asText).toArray
  private val amountMeasures = Set("sum", "mean", "ratio")
  private val ofAmount = config.get("live").asScala.map(each => amountMeasures(each.get("measure").asText)).toArray
  private val profiles = new ProfileFeatures(config, kinds)
  private val span = config.get("state_days").asLong * 86400000L
  private val home = config.path("home").asText("")
  private val live = ofAmount.length
  private val writer = new TextWriter((config.get("live").asScala ++ config.get("profile").asScala).map(_.get("name").asText).toArray)
  private val values = new Array[Double](live + profiles.count)
  private val ids = new Array[String](kinds.length)

  /** The columns of `History.Result` from those of `History.Inputs`. */
  def next(row: InternalRow): InternalRow = {
    val text = if (row.isNullAt(3)) null else row.getUTF8String(3)
    java.util.Arrays.fill(values, Double.NaN)
    if (text == null || !transaction.read(text)) {
      java.util.Arrays.fill(ids.asInstanceOf[Array[AnyRef]], null)
      return result(text, null, 0)
    }
    states.at(if (row.isNullAt(0)) 0 else row.getInt(0), if (row.isNullAt(1)) -1L else row.getLong(1))
    var i = 0
    while (i < ids.length) {
      val value = transaction.entity(i)
      ids(i) = if (value == null) null else transaction.entityId(value)
      i += 1
    }
    val time = transaction.timeMs
    val currency = transaction.currencyText
    val isForeign = home.nonEmpty && currency != null && currency != home
    val number = transaction.amountValue.toFloat
    val hasAmount = !number.isNaN && !number.isInfinite
    val amount = if (isForeign || !hasAmount) Float.NaN else number
    var notes = (if (ids(0) == null) Note.NoKey else 0) | (if (time == Long.MinValue) Note.NoTime else 0) |
      (if (hasAmount) 0 else Note.NoAmount) | (if (isForeign) Note.OtherCurrency else 0)
    if ((notes & (Note.NoKey | Note.NoTime)) == 0) {
      val isAhead = !row.isNullAt(2) && time > row.getLong(2) / 1000L + Operator.MostAheadMs
      notes |= addLive(time, amount, if (row.isNullAt(4)) 0 else Operator.hash(row.getUTF8String(4)), hasAmount, isAhead)
    }
    var date: String = null
    if (profiles.count > 0 && time != Long.MinValue) {
      val day = profiles.day(time)
      if (profiles.compute(day, ids, values, live)) date = LocalDate.ofEpochDay(day).toString
      else notes |= Note.NoProfile
    }
    result(writer.add(text, values), date, notes)
  }

  private def addLive(time: Long, amount: Float, id: Int, hasAmount: Boolean, isAhead: Boolean): Int = {
    val events = states.of(ids(0))
    val partner = if (ids.length < 2 || ids(1) == null) 0 else Operator.nonZero(MurmurHash3.stringHash(ids(1)))
    features.compute(events, time, amount, partner, id)
    var i = 0
    while (i < live) { values(i) = if (ofAmount(i) && !hasAmount) Double.NaN else features.values(i); i += 1 }
    val isRepeated = id != 0 && events.contains(id)
    val isHot = events.count == Events.Most && time - events.time(0) <= features.longest
    if (hasAmount && !isAhead && !isRepeated) events.add(time, amount, partner, id, span)
    (if (isAhead) Note.Ahead else 0) | (if (isRepeated) Note.Repeated else 0) | (if (isHot) Note.Hot else 0)
  }

  private def result(text: UTF8String, date: String, notes: Int): InternalRow = {
    val history = UnsafeArrayData.fromPrimitiveArray(values)
    var i = 0
    while (i < values.length) { if (values(i).isNaN || values(i).isInfinite) history.setNullAt(i); i += 1 }
    val entities = ids.map(id => if (id == null) null else UTF8String.fromString(id)).asInstanceOf[Array[Any]]
    new GenericInternalRow(Array[Any](text, history, new GenericArrayData(entities), UTF8String.fromString(date), notes))
  }
}

private[history] object Operator {
  val MostAheadMs = 300000L

  def hash(text: UTF8String): Int =
    nonZero(Murmur3_x86_32.hashUnsafeBytes(text.getBaseObject, text.getBaseOffset, text.numBytes, 42))

  def nonZero(hash: Int): Int = if (hash == 0) 1 else hash
}

/** Looks up the numbers of the other entities' daily profiles. */
private[history] final class ProfileFeatures(config: com.fasterxml.jackson.databind.JsonNode, kinds: Array[String]) {
  private val root = config.path("profiles").asText(null)
  private val zone = ZoneId.of(config.get("zone").asText)
  private val lagMs = config.get("lag_ms").asLong
  private val features = config.get("profile").asScala.toArray
  private val columns = features.map(_.get("column").asText)
  private val byEntity = kinds.indices.map(kind => features.indices.filter(features(_).get("kind").asText == kinds(kind)).toArray).toArray
  private var day, dayStart, dayEnd = 0L
  val count: Int = features.length

  /** The day (since 1970) whose profiles serve at a time: the last that ended at least the lag before. */
  def day(time: Long): Long = {
    val moment = time - lagMs
    if (moment < dayStart || moment >= dayEnd) {
      val date = Instant.ofEpochMilli(moment).atZone(zone).toLocalDate
      day = date.toEpochDay - 1
      dayStart = date.atStartOfDay(zone).toInstant.toEpochMilli
      dayEnd = date.plusDays(1).atStartOfDay(zone).toInstant.toEpochMilli
    }
    day
  }

  /** Puts the numbers into `values` from `first` on; false if a table is missing. */
  def compute(day: Long, ids: Array[String], values: Array[Double], first: Int): Boolean = {
    var isComplete = true
    for (entity <- ids.indices if byEntity(entity).nonEmpty) {
      val table = if (root == null) null else Profiles.of(root, kinds(entity), day)
      if (table == null) isComplete = false
      else if (ids(entity) != null) {
        val numbers = table.get(ids(entity))
        for (feature <- byEntity(entity)) {
          val column = table.columns.indexOf(columns(feature))
          if (column >= 0) values(first + feature) = numbers(column)
        }
      }
    }
    isComplete
  }
}

/** Writes numbers into a JSON object's text, before its closing brace. */
private[history] final class TextWriter(names: Array[String]) {
  private val mapper = new ObjectMapper()
  private val members = names.map(name => s",${mapper.writeValueAsString(name)}:".getBytes("UTF-8"))
  private var bytes = new Array[Byte](4096)
  private var end = 0

  def add(text: UTF8String, values: Array[Double]): UTF8String = {
    end = text.numBytes
    val most = end + members.map(_.length + 26).sum + 1
    if (bytes.length < most) bytes = new Array[Byte](most * 2)
    Platform.copyMemory(text.getBaseObject, text.getBaseOffset, bytes, Platform.BYTE_ARRAY_OFFSET, end)
    do end -= 1 while (bytes(end) != '}')
    var last = end - 1
    while (bytes(last) <= ' ') last -= 1
    val isEmpty = bytes(last) == '{'
    for (i <- members.indices) {
      val from = if (i == 0 && isEmpty) 1 else 0
      System.arraycopy(members(i), from, bytes, end, members(i).length - from)
      end += members(i).length - from
      val value = values(i)
      val digits =
        if (value.isNaN || value.isInfinite) "null"
        else if (value == value.toLong && math.abs(value) < 1e15) s"${value.toLong}.0"
        else value.toString
      digits.getBytes(0, digits.length, bytes, end)
      end += digits.length
    }
    bytes(end) = '}'
    UTF8String.fromBytes(bytes, 0, end + 1)
  }
}

package org.apache.spark.sql.fraudstream {
  import org.apache.spark.sql.Column
  import org.apache.spark.sql.catalyst.expressions.Expression
  import org.apache.spark.sql.classic.ExpressionUtils.{column, expression}

  /** Makes a column of an expression of our own, which only Spark's packages may. */
  object Columns {
    def of(inputs: Seq[Column])(result: Seq[Expression] => Expression): Column = column(result(inputs.map(expression)))
  }
}

package fraudstream.history {
  import java.nio.charset.StandardCharsets.UTF_8
  import java.time.{Instant, LocalDate, ZoneId}
  import java.util.Arrays
  import java.util.concurrent.ConcurrentHashMap
  import scala.jdk.CollectionConverters._
  import scala.util.hashing.MurmurHash3

  import com.fasterxml.jackson.databind.{JsonNode, ObjectMapper}
  import org.apache.spark.sql.{classic, Dataset, Row}
  import org.apache.spark.sql.catalyst.InternalRow
  import org.apache.spark.sql.catalyst.expressions._
  import org.apache.spark.sql.catalyst.expressions.codegen.{Block, CodegenContext, ExprCode, FalseLiteral}
  import org.apache.spark.sql.catalyst.expressions.codegen.Block.BlockHelper
  import org.apache.spark.sql.catalyst.plans.logical.Project
  import org.apache.spark.sql.catalyst.util.GenericArrayData
  import org.apache.spark.sql.fraudstream.Columns
  import org.apache.spark.sql.functions.{coalesce, col, lit, unix_millis}
  import org.apache.spark.sql.types._
  import org.apache.spark.unsafe.Platform
  import org.apache.spark.unsafe.hash.Murmur3_x86_32
  import org.apache.spark.unsafe.types.UTF8String
  import org.apache.spark.util.SerializableConfiguration

  /** Adds to each transaction what its entities did before, in a stream and in batch alike.
   *
   *  Reads the columns `partition`, `offset`, `timestamp`, `text` and `alert_id`, and adds those of `Result`; the frame
   *  `readers` computes an amount and the seconds of a time from the text of its one column.
   */
  object History {
    val Result: StructType = new StructType().add("text_with_history", StringType).add("history", ArrayType(DoubleType))
      .add("entity_ids", ArrayType(StringType)).add("profile_date", StringType)
      .add("history_notes", IntegerType, nullable = false)

    /** With state below `root`, which this query alone writes; `base` as in `StoredStates`. */
    def live(in: Dataset[Row], readers: Dataset[Row], config: String, root: String, base: Long): Dataset[Row] =
      add(in, readers, config, root, storedStates(in, root, base, isReplay = false))

    /** As `live` has computed it for the same offsets, in batch; the state is only read. */
    def replay(in: Dataset[Row], readers: Dataset[Row], config: String, root: String, base: Long): Dataset[Row] =
      add(in, readers, config, root, storedStates(in, root, base, isReplay = true))

    private def storedStates(in: Dataset[Row], root: String, base: Long, isReplay: Boolean): () => States = {
      in.sparkSession.streams // registers the coordinator of the state stores, which a batch needs too
      val session = in.sparkSession.asInstanceOf[classic.SparkSession].sessionState
      val conf = StoredStates.settings(session.conf, in.isStreaming)
      val hadoop = new SerializableConfiguration(session.newHadoopConf())
      () => new StoredStates(root, base, isReplay, conf, hadoop)
    }

    /** With states in memory: the rows of an entity have to be in one partition of the frame, and in order. */
    def batch(in: Dataset[Row], readers: Dataset[Row], config: String): Dataset[Row] =
      add(in, readers, config, "", () => new MemoryStates)

    private def add(in: Dataset[Row], readers: Dataset[Row], config: String, root: String, states: () => States) = {
      val plan = readers.asInstanceOf[classic.Dataset[Row]].queryExecution.analyzed.asInstanceOf[Project]
      val bound = plan.projectList.map(BindReferences.bindReference[Expression](_, plan.child.output))
      val inputs = Seq(coalesce(col("partition").cast("int"), lit(0)), coalesce(col("offset").cast("long"), lit(-1L)),
        coalesce(unix_millis(col("timestamp")), lit(Long.MaxValue)), col("text"), col("alert_id"))
      val operator = () => new Operator(
        new ObjectMapper().readTree(config), bound.map(each => SafeProjection.create(Seq(each))), root, states())
      in.withColumn("history_result", Columns.of(inputs)(HistoryExpression(_, operator)))
        .select("*", Result.names.map(name => s"history_result.$name").toSeq: _*).drop("history_result")
    }
  }

  /** The operator as an expression: it is not deterministic, so Spark evaluates it once for each row, and in order.
   *
   *  A task makes its own operator. A function has no text, so the configuration, with its secret, is in no plan.
   */
  private[history] case class HistoryExpression(children: Seq[Expression], makeOperator: () => Operator)
      extends Expression with Nondeterministic {
    @transient private var ofTask: Operator = _
    def operator: Operator = ofTask
    override def dataType: DataType = History.Result
    override def nullable: Boolean = false
    override def stateful: Boolean = true
    override protected def withNewChildrenInternal(children: IndexedSeq[Expression]): HistoryExpression = copy(children)
    override protected def initializeInternal(partitionIndex: Int): Unit = ofTask = makeOperator()

    override protected def evalInternal(row: InternalRow): Any = {
      val Seq(partition: Int, offset: Long, timestamp: Long, text, id) = children.map(_.eval(row))
      operator.next(partition, offset, timestamp, text.asInstanceOf[UTF8String], id.asInstanceOf[UTF8String])
    }

    override protected def doGenCode(context: CodegenContext, code: ExprCode): ExprCode = {
      val self = context.addReferenceObj("history", this)
      context.addPartitionInitializationStatement(s"$self.initialize(partitionIndex);")
      val inputs = children.map(_.genCode(context))
      val values = inputs.take(3).map(_.value) ++ inputs.drop(3).map(each => s"${each.isNull} ? null : ${each.value}")
      val evaluate = code"InternalRow ${code.value} = $self.operator().next(${values.mkString(", ")});"
      code.copy(code = inputs.map(_.code).foldLeft[Block](code"")(_ + _) + evaluate, isNull = FalseLiteral)
    }
  }

  /** Computes a task's rows, one after the other. */
  private[history] final class Operator(
      config: JsonNode, readers: Seq[InternalRow => InternalRow], root: String, states: States) {
    import Operator._
    private def texts(list: String, name: String) = config.get(list).asScala.map(_.get(name).asText).toArray
    private val transaction = new Transaction(config, readers)
    private val features = new Features(texts("live", "measure"), texts("live", "ms").map(_.toLong))
    private val lastPartitions =
      if (root.isEmpty) null else Partitions.computeIfAbsent(root, _ => new Array[Long](1 << 20))
    private val kinds = texts("entities", "kind")
    private val isAmount = texts("live", "measure").map(Set("sum", "mean", "ratio"))
    private val profileKinds = texts("profile", "kind").map(kinds.indexOf(_))
    private val profileColumns = texts("profile", "column")
    private val profiles = config.get("profiles").asText(null)
    private val (zone, lagMs) = (ZoneId.of(config.get("zone").asText), config.get("lag_ms").asLong)
    private val (spanMs, home) = (config.get("state_days").asLong * 86400000L, config.get("home").asText)
    private val members = (texts("live", "name") ++ texts("profile", "name"))
      .map(name => s",${new ObjectMapper().writeValueAsString(name)}:".getBytes(UTF_8))
    private val most = members.map(_.length + 26).sum + 1
    private val values = new Array[Double](members.length)
    private val ids = new Array[String](kinds.length)
    private var bytes = new Array[Byte](most)
    private var day, dayStart, dayEnd = 0L

    /** The columns of `History.Result`; a text that is not one JSON object stays as it is. */
    def next(partition: Int, offset: Long, timestamp: Long, text: UTF8String, id: UTF8String): InternalRow = {
      Arrays.fill(values, Double.NaN); Arrays.fill(ids.asInstanceOf[Array[AnyRef]], null)
      if (text == null || !transaction.read(text)) return result(text, null, 0)
      states.begin(partition, offset)
      for (i <- ids.indices) ids(i) = Option(transaction.entity(i)).map(transaction.entityId).orNull
      val (time, amount, currency) = (transaction.time, transaction.amount, transaction.currency)
      val isForeign = !home.isEmpty && currency != null && currency != home
      var notes = (if (ids(0) == null) NoKey else 0) | (if (time == Transaction.NoTime) NoTime else 0) |
        (if (amount.isNaN) NoAmount else 0) | (if (isForeign) OtherCurrency else 0)
      if ((notes & (NoKey | NoTime)) == 0) {
        if (timestamp >= 0 && time - MostAheadMs > timestamp) notes |= Ahead
        if (lastPartitions != null && hasMoved(ids(0), partition)) notes |= OtherPartition
        notes |= addLive(time, if (isForeign) Float.NaN else amount, if (id == null) 0 else hash(id), notes)
      }
      val hasProfiles = profileKinds.nonEmpty && time != Transaction.NoTime
      val date = if (hasProfiles && addProfiles(dayOf(time))) LocalDate.ofEpochDay(day).toString else null
      result(withMembers(text), date, if (hasProfiles && date == null) notes | NoProfile else notes)
    }

    private def addLive(time: Long, amount: Float, id: Int, notes: Int): Int = {
      val events = states.of(ids(0))
      val partner = if (ids.length < 2 || ids(1) == null) 0 else nonZero(MurmurHash3.stringHash(ids(1)))
      features.compute(events, time, amount, partner, id)
      val hasAmount = (notes & NoAmount) == 0
      for (i <- isAmount.indices if hasAmount || !isAmount(i)) values(i) = rounded(features.values(i))
      val isRepeated = id != 0 && events.contains(id)
      val isHot = events.count == Events.Most && time - events.time(0) <= features.longest
      if (hasAmount && !isRepeated && (notes & Ahead) == 0) events.add(time, amount, partner, id, spanMs)
      (if (isRepeated) Repeated else 0) | (if (isHot) Hot else 0)
    }

    /** Whether the key was in another partition before; of keys with the same hash the last one is remembered. */
    private def hasMoved(key: String, partition: Int): Boolean = {
      val hash = MurmurHash3.stringHash(key)
      val entry = hash.toLong << 32 | (key.hashCode & 0xfffffL) << 12 | (partition + 1) & 0xfffL
      val last = lastPartitions(hash & (lastPartitions.length - 1))
      lastPartitions(hash & (lastPartitions.length - 1)) = entry
      last != 0 && last != entry && last >>> 12 == entry >>> 12
    }

    /** The day (since 1970) whose profiles serve at a time: the last that has ended for at least the lag. */
    private def dayOf(time: Long): Long = {
      val moment = time - lagMs
      if (moment < dayStart || moment >= dayEnd) {
        val date = Instant.ofEpochMilli(moment).atZone(zone).toLocalDate
        day = date.toEpochDay - 1
        dayStart = date.atStartOfDay(zone).toInstant.toEpochMilli
        dayEnd = date.plusDays(1).atStartOfDay(zone).toInstant.toEpochMilli
      }
      day
    }

    /** Adds the numbers of the other entities' profiles; false if a table is missing. */
    private def addProfiles(day: Long): Boolean = {
      var isComplete = true
      for (kind <- kinds.indices if profileKinds.contains(kind)) {
        val table = if (profiles == null) null else Profiles.of(profiles, kinds(kind), day)
        isComplete &&= table != null
        val numbers = if (table == null || ids(kind) == null) null else table.get(ids(kind))
        for (i <- profileKinds.indices if numbers != null && profileKinds(i) == kind) {
          val column = table.columns.indexOf(profileColumns(i))
          if (column >= 0) values(isAmount.length + i) = rounded(numbers(column))
        }
      }
      isComplete
    }

    /** The text with the features as further members of the object. */
    private def withMembers(text: UTF8String): UTF8String = {
      var end = text.numBytes
      if (bytes.length < end + most) bytes = new Array[Byte](2 * (end + most))
      Platform.copyMemory(text.getBaseObject, text.getBaseOffset, bytes, Platform.BYTE_ARRAY_OFFSET, end)
      do end -= 1 while (bytes(end) != '}')
      var last = end - 1
      while (bytes(last) <= ' ') last -= 1
      for (i <- members.indices) {
        val comma = if (i == 0 && bytes(last) == '{') 1 else 0 // is left out before the object's first member
        System.arraycopy(members(i), comma, bytes, end, members(i).length - comma)
        end = write(values(i), bytes, end + members(i).length - comma)
      }
      bytes(end) = '}'
      UTF8String.fromBytes(bytes, 0, end + 1)
    }

    private def result(text: UTF8String, date: String, notes: Int): InternalRow = {
      val history = UnsafeArrayData.fromPrimitiveArray(values)
      for (i <- values.indices if values(i).isNaN) history.setNullAt(i)
      val entities = new GenericArrayData(ids.map(UTF8String.fromString).asInstanceOf[Array[Any]])
      new GenericInternalRow(Array[Any](text, history, entities, UTF8String.fromString(date), notes))
    }
  }

  private[history] object Operator {
    /** Bits of `history_notes`. */
    val NoKey = 1; val NoTime = 2; val NoAmount = 4; val Ahead = 8; val Repeated = 16; val Hot = 32
    val OtherPartition = 64; val NoProfile = 128; val OtherCurrency = 256
    private val MostAheadMs = 300000L
    private val Partitions = new ConcurrentHashMap[String, Array[Long]]()

    def hash(text: UTF8String): Int =
      nonZero(Murmur3_x86_32.hashUnsafeBytes(text.getBaseObject, text.getBaseOffset, text.numBytes, 42))
    def nonZero(hash: Int): Int = if (hash == 0) 1 else hash

    /** Six decimals: an amount has no more as a float, and such a number is written in a fraction of the time. */
    def rounded(value: Double): Double = {
      val millionths = math.rint(value * 1e6)
      if (math.abs(millionths) < 1e15) millionths / 1e6 + 0.0 else if (value.isInfinite) Double.NaN else value
    }

    /** Writes a number so that it is read as the same double; returns where it ends. */
    def write(value: Double, bytes: Array[Byte], start: Int): Int = {
      val millionths = math.rint(value * 1e6)
      val (whole, rest) = (millionths.toLong / 1000000, math.abs(millionths.toLong % 1000000))
      val digits =
        if (value.isNaN) "null"
        else if (math.abs(millionths) >= 1e15 || (millionths < 0 && whole == 0)) value.toString
        else if (rest == 0) s"$whole.0"
        else s"$whole.${(1000000 + rest).toString.substring(1)}"
      digits.getBytes(0, digits.length, bytes, start)
      start + digits.length
    }
  }

  /** Computes features of an entity's transactions before one; `values` are those of the last call, NaN for none. */
  private[history] final class Features(measures: Array[String], spans: Array[Long]) {
    private val windows = spans.distinct.sorted
    private val byWindow = windows.map(window => spans.indices.filter(spans(_) == window).toArray)
    private val partners, sorted = new Array[Int](Events.Most)
    val longest: Long = windows.lastOption.getOrElse(0L)
    val values = new Array[Double](measures.length)

    /** Goes from the newest to the oldest, so that what a window counts is part of what the next one does. */
    def compute(events: Events, time: Long, amount: Double, partner: Int, id: Int): Unit = {
      var count, known, window = 0
      var (sum, newest, isKnownPartner) = (0.0, 0L, false)
      var i = events.after(time) - 1
      while (window < windows.length) {
        if (i >= 0 && time - events.time(i) <= windows(window)) {
          if (id == 0 || events.id(i) != id) {
            if (count == 0) newest = events.time(i)
            if (!events.amount(i).isNaN) { known += 1; sum += events.amount(i) }
            isKnownPartner ||= events.partner(i) == partner
            partners(count) = events.partner(i)
            count += 1
          }
          i -= 1
        } else {
          var each = 0
          while (each < byWindow(window).length) {
            val feature = byWindow(window)(each)
            values(feature) = measures(feature) match {
              case "count" => count
              case "sum" => sum
              case "mean" => if (known > 0) sum / known else amount
              case "ratio" => if (known > 0) amount / (sum / known) else amount * 0.0 + 1.0
              case "since" => (if (count == 0) windows(window) else time - newest) / 3600000.0
              case "partners" => different(count)
              case "first" => if (partner == 0) Double.NaN else if (isKnownPartner) 0.0 else 1.0
            }
            each += 1
          }
          window += 1
        }
      }
    }

    private def different(count: Int): Double = {
      System.arraycopy(partners, 0, sorted, 0, count)
      Arrays.sort(sorted, 0, count)
      (0 until count).count(i => sorted(i) != 0 && (i == 0 || sorted(i) != sorted(i - 1)))
    }
  }
}

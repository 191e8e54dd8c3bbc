package fraudstream.history

import java.util.Arrays

import com.fasterxml.jackson.databind.JsonNode
import org.apache.spark.unsafe.Platform
import scala.jdk.CollectionConverters._

/** The transactions of an entity by time, those of one time as they came.
 *
 *  State format 1: 8 bytes of base time in ms, then for each transaction 16 bytes, all of them little-endian: time minus
 *  base (ms, uint32), amount (float32, NaN if in another currency), hash of the second entity and hash of the event id
 *  (int32, 0 for none).
 */
private[history] final class Events(private var bytes: Array[Byte], var count: Int) {
  var isDirty = false

  private def at(event: Int): Long = Platform.BYTE_ARRAY_OFFSET + 8 + 16L * event
  private def base: Long = Platform.getLong(bytes, Platform.BYTE_ARRAY_OFFSET)
  def time(event: Int): Long = base + (Platform.getInt(bytes, at(event)) & 0xffffffffL)
  def amount(event: Int): Float = Platform.getFloat(bytes, at(event) + 4)
  def partner(event: Int): Int = Platform.getInt(bytes, at(event) + 8)
  def id(event: Int): Int = Platform.getInt(bytes, at(event) + 12)

  def size: Int = bytes.length
  def state: Array[Byte] = if (bytes.length == 8 + 16 * count) bytes else Arrays.copyOf(bytes, 8 + 16 * count)

  /** The position behind the last transaction until `time`. */
  def after(time: Long): Int = { var i = count; while (i > 0 && this.time(i - 1) > time) i -= 1; i }

  def contains(id: Int): Boolean = {
    var i = count - 1
    while (i >= 0 && this.id(i) != id) i -= 1
    i >= 0
  }

  /** Adds a transaction, and drops those that are older than the newest by more than `span` or beyond the bound. */
  def add(time: Long, amount: Float, partner: Int, id: Int, span: Long): Unit = {
    val oldest = (if (count == 0) time else math.max(time, this.time(count - 1))) - span
    var drop = 0
    while (drop < count && this.time(drop) < oldest) drop += 1
    val place = after(time)
    if (count - drop == Events.Most) drop += 1
    if (time < oldest || place < drop) return
    val kept = count - drop
    if (count == 0) Platform.putLong(bytes, Platform.BYTE_ARRAY_OFFSET, time)
    else if (time < base || math.max(time, this.time(count - 1)) - base > 0xffffffffL)
      rebase(if (place == drop) time else this.time(drop), drop)
    val old = bytes
    if (bytes.length < 8 + 16 * (kept + 1)) bytes = Arrays.copyOf(bytes, 8 + 16 * (kept + 2 + kept / 4))
    System.arraycopy(old, 8 + 16 * drop, bytes, 8, 16 * (place - drop))
    System.arraycopy(old, 8 + 16 * place, bytes, 8 + 16 * (place - drop + 1), 16 * (count - place))
    val event = at(place - drop)
    Platform.putInt(bytes, event, (time - base).toInt)
    Platform.putFloat(bytes, event + 4, amount)
    Platform.putInt(bytes, event + 8, partner)
    Platform.putInt(bytes, event + 12, id)
    count = kept + 1
    isDirty = true
  }

  private def rebase(base: Long, from: Int): Unit = {
    val shift = this.base - base
    for (event <- from until count)
      Platform.putInt(bytes, at(event), ((Platform.getInt(bytes, at(event)) & 0xffffffffL) + shift).toInt)
    Platform.putLong(bytes, Platform.BYTE_ARRAY_OFFSET, base)
  }
}

private[history] object Events {
  /** The bound of an entity's state; windows of a hot key are then "at least". */
  val Most = 512

  def empty: Events = new Events(new Array[Byte](8 + 16 * 2), 0)
  def of(state: Array[Byte]): Events = new Events(state, (state.length - 8) / 16)
}

/** Computes the live features from an entity's transactions; `values` are those of the last one, NaN for missing. */
private[history] final class Features(config: JsonNode) {
  private val measures = config.get("live").asScala.map(_.get("measure").asText).toArray
  private val spans = config.get("live").asScala.map(_.get("ms").asLong).toArray
  private val windows = spans.distinct.sorted
  private val byWindow = windows.map(window => spans.indices.filter(spans(_) == window).toArray)
  val longest: Long = windows.lastOption.getOrElse(0L)
  val values = new Array[Double](measures.length)

  private val partners, sorted = new Array[Int](Events.Most)
  private var count, known = 0
  private var sum = 0.0
  private var newest = 0L

  /** From the newest to the oldest, so that each window's sums are part of the next one's. */
  def compute(events: Events, time: Long, amount: Double, partner: Int, id: Int): Unit = {
    count = 0; known = 0; sum = 0.0
    var i = events.after(time) - 1
    var window = 0
    while (window < windows.length) {
      if (i >= 0 && time - events.time(i) <= windows(window)) {
        if (id == 0 || events.id(i) != id) {
          if (count == 0) newest = events.time(i)
          val each = events.amount(i)
          if (!each.isNaN) { known += 1; sum += each }
          partners(count) = events.partner(i)
          count += 1
        }
        i -= 1
      } else {
        for (feature <- byWindow(window)) values(feature) = value(measures(feature), windows(window), time, amount, partner)
        window += 1
      }
    }
  }

  private def value(measure: String, window: Long, time: Long, amount: Double, partner: Int): Double = measure match {
    case "count" => count
    case "sum" => sum
    case "mean" => if (known > 0) sum / known else amount
    case "ratio" => if (known > 0 || amount.isNaN) amount / (sum / known) else 1.0
    case "since" => (if (count == 0) window else time - newest) / 3600000.0
    case "partners" => different
    case "first" => if (partner == 0) Double.NaN else if (occurs(partner)) 0.0 else 1.0
  }

  private def occurs(partner: Int): Boolean = {
    var i = 0
    while (i < count && partners(i) != partner) i += 1
    i < count
  }

  private def different: Int = {
    System.arraycopy(partners, 0, sorted, 0, count)
    Arrays.sort(sorted, 0, count)
    var i, different = 0
    while (i < count) { if (sorted(i) != 0 && (i == 0 || sorted(i) != sorted(i - 1))) different += 1; i += 1 }
    different
  }
}

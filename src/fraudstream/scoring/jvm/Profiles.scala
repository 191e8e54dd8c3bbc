package fraudstream.history

/** Daily tables of the profiles of entities. */
object Profiles {
  abstract class Table { def columns: Array[String]; def get(id: String): Array[Double] }

  def of(root: String, kind: String, epochDay: Long): Table = null
}
